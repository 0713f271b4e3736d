// Histories that are wrong on purpose: a checker that accepts one of them checks nothing.
package main

import (
	"slices"
)

// Corruption is a way to make a true history untrue. It returns false if the history has no place for it.
type Corruption struct {
	Name  string
	Apply func([]Event) bool
}

// Corruptions by the promise that they would break.
var Corruptions = []Corruption{
	{"P3: an acknowledged row is missing in the last read", loseRow},
	{"P4: a deleted row is back in the last read", bringBack},
	{"a read shows an older moment than a read that had ended before it", readThePast},
	{"a read shows half of an upsert of several keys", tear},
	{"a row is there twice", double},
}

// lastReads are the places of the last read of each group, newest group first.
func lastReads(events []Event) []int {
	last := map[int64]int{}
	for at, event := range events {
		if event.Found != nil {
			last[event.Call.Group] = at
		}
	}
	var places []int
	for _, at := range last {
		places = append(places, at)
	}
	slices.Sort(places)
	slices.Reverse(places)
	return places
}

// hasUnknown tells whether a write of the group may still happen: then several last states are true.
func hasUnknown(events []Event, group int64) bool {
	return slices.ContainsFunc(events, func(e Event) bool { return e.Call.Group == group && e.Unknown != "" })
}

// change replaces an answer without touching the history it was copied from.
func change(event *Event, with func(*Rows)) {
	var rows Rows
	for key, found := range event.Found {
		rows[key] = slices.Clone(found)
	}
	with(&rows)
	event.Found = &rows
}

func changeLastRead(events []Event, fits func(Event) bool, with func(*Rows)) bool {
	for _, at := range lastReads(events) {
		if !hasUnknown(events, events[at].Call.Group) && fits(events[at]) {
			change(&events[at], with)
			return true
		}
	}
	return false
}

func loseRow(events []Event) bool {
	return changeLastRead(events, func(e Event) bool { return len(e.Found[0]) > 0 }, func(r *Rows) { r[0] = r[0][1:] })
}

func double(events []Event) bool {
	fits := func(e Event) bool { return len(e.Found[0]) > 0 }
	return changeLastRead(events, fits, func(r *Rows) { r[0] = append(r[0], r[0][0]) })
}

func bringBack(events []Event) bool {
	for _, at := range lastReads(events) {
		group := events[at].Call.Group
		if hasUnknown(events, group) {
			continue
		}
		for _, earlier := range events[:at] {
			if earlier.Call.Group != group || earlier.Call.Kind != Upsert {
				continue
			}
			for key, value := range earlier.Call.Values {
				if earlier.Ended < events[at].Began && !slices.Contains(events[at].Found[key], value) {
					change(&events[at], func(r *Rows) { r[key] = append(r[key], value) })
					return true
				}
			}
		}
	}
	return false
}

// readThePast gives the last read of a group the answer of an earlier one, between which something was written.
func readThePast(events []Event) bool {
	for _, at := range lastReads(events) {
		group := events[at].Call.Group
		if hasUnknown(events, group) {
			continue
		}
		for _, earlier := range events[:at] {
			if earlier.Call.Group != group || earlier.Found == nil {
				continue
			}
			// Every value is written once, so a state with another value differs for good.
			for key := range earlier.Found {
				was, is := earlier.Found[key], events[at].Found[key]
				if len(was) > 0 && len(is) > 0 && !slices.Equal(was, is) {
					past := *earlier.Found
					events[at].Found = &past
					return true
				}
			}
		}
	}
	return false
}

// tear takes one key of an upsert of several out of a read that saw all of them.
func tear(events []Event) bool {
	for _, at := range lastReads(events) {
		group := events[at].Call.Group
		if hasUnknown(events, group) {
			continue
		}
		for _, write := range events {
			if write.Call.Group != group || write.Call.Kind != Upsert || len(write.Call.Values) < 2 {
				continue
			}
			seen := 0
			for key, value := range write.Call.Values {
				if slices.Contains(events[at].Found[key], value) {
					seen++
				}
			}
			if seen == len(write.Call.Values) {
				for key := range write.Call.Values {
					change(&events[at], func(r *Rows) { r[key] = nil })
					return true
				}
			}
		}
	}
	return false
}
