// The sequential model: the answers that one client alone would get.
//
// A register is a group of three keys, because one request may touch several keys and must do so at one moment. An insert
// does not replace: like Milvus the server keeps all rows of a key and shows the newest one that matches. So each key has
// a list of rows: an insert appends one, an upsert replaces them all, a delete removes them all.
//
// A delete by expression has two moments (docs/design.md, A write): it matches keys at one, and at a later one it removes
// the rows that those keys had at the first. So it is two operations, of which the second needs the first.
package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Keys of a group.
const Keys = 3

// Kind of a call.
type Kind string

const (
	Insert Kind = "insert"
	Upsert Kind = "upsert"
	Delete Kind = "delete"
	// DeleteBelow deletes the keys with a row below a bound, by expression.
	DeleteBelow Kind = "delete_below"
	Query       Kind = "query"
	// The moments of a DeleteBelow.
	match Kind = "match"
	apply Kind = "apply"
)

// Call is a request of a client.
type Call struct {
	Kind  Kind  `json:"kind"`
	Group int64 `json:"group"`
	// Values to write, by key of the group; no value is written twice.
	Values map[int]int64 `json:"values,omitempty"`
	// Keys to delete.
	Keys  []int `json:"keys,omitempty"`
	Bound int64 `json:"bound,omitempty"`
	// Tells the deletes by expression of a history apart.
	id int
}

// Rows are the values of each key in an answer.
type Rows [Keys][]int64

// state is comparable.
type state struct {
	// The values of each key, oldest first.
	rows [Keys]string
	// Rows that deletes by expression have matched and not yet removed.
	matched string
}

// Model is the model of all groups.
var Model = porcupine.Model{
	Partition:         partition,
	Init:              func() any { return state{} },
	Step:              func(before, input, output any) (bool, any) { return step(before.(state), input.(Call), output) },
	DescribeOperation: describe,
	DescribeState:     func(s any) string { return fmt.Sprintf("%q", s) },
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	var order []int64
	groups := map[int64][]porcupine.Operation{}
	for _, operation := range history {
		group := operation.Input.(Call).Group
		if _, known := groups[group]; !known {
			order = append(order, group)
		}
		groups[group] = append(groups[group], operation)
	}
	var parts [][]porcupine.Operation
	for _, group := range order {
		parts = append(parts, groups[group])
	}
	return parts
}

// step tells whether a call may have this answer in a state, and the state after it. The answer to a write does not
// matter: either it was acknowledged, or it may have happened at any time since.
func step(before state, call Call, output any) (bool, any) {
	after := before
	switch call.Kind {
	case Insert:
		for key, value := range call.Values {
			after.rows[key] = text(append(values(after.rows[key]), value))
		}
	case Upsert:
		for key, value := range call.Values {
			after.rows[key] = text([]int64{value})
		}
	case Delete:
		for _, key := range call.Keys {
			after.rows[key] = ""
		}
	case match:
		var matched []int64
		for _, rows := range before.rows {
			// A row that a newer one hides matches too.
			if slices.ContainsFunc(values(rows), func(value int64) bool { return value < call.Bound }) {
				matched = append(matched, values(rows)...)
			}
		}
		after.matched = remember(before.matched, call.id, matched)
	case apply:
		matched, others, has := recall(before.matched, call.id)
		if !has {
			return false, before
		}
		after.matched = others
		for key, rows := range before.rows {
			after.rows[key] = text(slices.DeleteFunc(values(rows), func(v int64) bool { return slices.Contains(matched, v) }))
		}
	case Query:
		for key, found := range output.(Rows) {
			newest := values(before.rows[key])
			if len(newest) > 0 {
				newest = newest[len(newest)-1:]
			}
			if !slices.Equal(found, newest) {
				return false, before
			}
		}
	}
	return true, after
}

// remember adds the rows that a delete has matched, in the order of the deletes' numbers.
func remember(matched string, id int, rows []int64) string {
	entries := strings.Split(matched, ";")
	entries = slices.DeleteFunc(append(entries, fmt.Sprintf("%06d %s", id, text(rows))), func(e string) bool { return e == "" })
	slices.Sort(entries)
	return strings.Join(entries, ";")
}

// recall takes the rows of a delete out again.
func recall(matched string, id int) (rows []int64, others string, has bool) {
	entries := strings.Split(matched, ";")
	prefix := fmt.Sprintf("%06d ", id)
	at := slices.IndexFunc(entries, func(entry string) bool { return strings.HasPrefix(entry, prefix) })
	if at < 0 {
		return nil, matched, false
	}
	rows = values(strings.TrimPrefix(entries[at], prefix))
	return rows, strings.Join(slices.Delete(entries, at, at+1), ";"), true
}

func text(rows []int64) string {
	var words []string
	for _, row := range rows {
		words = append(words, strconv.FormatInt(row, 10))
	}
	return strings.Join(words, " ")
}

func values(text string) []int64 {
	var rows []int64
	for _, word := range strings.Fields(text) {
		row, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			panic(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func describe(input, output any) string {
	call := input.(Call)
	switch call.Kind {
	case Query:
		return fmt.Sprintf("query %d -> %v", call.Group, output)
	case Delete:
		return fmt.Sprintf("delete %v", call.Keys)
	case match, apply:
		return fmt.Sprintf("%s %d: delete below %d", call.Kind, call.id, call.Bound)
	default:
		return fmt.Sprintf("%s %v", call.Kind, call.Values)
	}
}
