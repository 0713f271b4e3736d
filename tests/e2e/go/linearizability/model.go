// The sequential model: what one client alone would see.
//
// A register is a group of three keys, because one request may touch several keys and must do so at one moment. An insert
// does not replace: like Milvus the server keeps all rows of a key and shows the newest one that matches. So each key has
// a list of rows: an insert appends one, an upsert replaces them all, a delete removes them all.
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
)

// Call is what a client asks for.
type Call struct {
	Kind  Kind  `json:"kind"`
	Group int64 `json:"group"`
	// Values to write, by key of the group; no value is written twice.
	Values map[int]int64 `json:"values,omitempty"`
	// Keys to delete.
	Keys  []int `json:"keys,omitempty"`
	Bound int64 `json:"bound,omitempty"`
}

// Rows are the values of each key in an answer.
type Rows [Keys][]int64

// state is the values of each key, oldest first, as comparable text.
type state [Keys]string

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
			after[key] = text(append(values(after[key]), value))
		}
	case Upsert:
		for key, value := range call.Values {
			after[key] = text([]int64{value})
		}
	case Delete:
		for _, key := range call.Keys {
			after[key] = ""
		}
	case DeleteBelow:
		// A row that a newer one hides matches too.
		for key := range after {
			if slices.ContainsFunc(values(after[key]), func(value int64) bool { return value < call.Bound }) {
				after[key] = ""
			}
		}
	case Query:
		for key, found := range output.(Rows) {
			newest := values(before[key])
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
	case DeleteBelow:
		return fmt.Sprintf("delete below %d", call.Bound)
	default:
		return fmt.Sprintf("%s %v", call.Kind, call.Values)
	}
}
