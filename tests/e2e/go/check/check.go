// Package check is shared by the Go suites: assertions that end the program, waiting, and the rows of the test.
package check

import (
	"fmt"
	"os"
	"time"
)

const (
	Dim      = 8
	Rows     = 1200
	deadline = 30 * time.Second
)

// Batches are the rows of each flush: first key and the one after the last.
var Batches = [][2]int64{{0, 500}, {500, 900}, {900, Rows}}

// OK ends the program when a call has failed.
func OK(err error) {
	if err != nil {
		That(false, "%v", err)
	}
}

// That ends the program when something does not hold, with a trace of how it got here.
func That(holds bool, format string, values ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, "FAILED: "+format+"\n", values...)
		panic("assertion failed")
	}
}

// Equal compares the printed forms of two values.
func Equal(what string, got, want any) {
	That(fmt.Sprint(got) == fmt.Sprint(want), "%s: got %v, want %v", what, got, want)
}

// WaitUntil polls until the condition holds.
func WaitUntil(what string, holds func() bool) {
	for end := time.Now().Add(deadline); !holds(); time.Sleep(100 * time.Millisecond) {
		That(time.Now().Before(end), "not after %s: %s", deadline, what)
	}
}

// Keys are all keys from first up to but without end.
func Keys(first, end int64) []int64 {
	var keys []int64
	for key := first; key < end; key++ {
		keys = append(keys, key)
	}
	return keys
}

// Split parts keys into those to delete, every tenth, and the others.
func Split(keys []int64) (gone, kept []int64) {
	for _, key := range keys {
		if key%10 == 0 {
			gone = append(gone, key)
		} else {
			kept = append(kept, key)
		}
	}
	return gone, kept
}

// WordCounts is a second column for keys.
func WordCounts(keys []int64) []int64 {
	var counts []int64
	for _, key := range keys {
		counts = append(counts, key*10)
	}
	return counts
}

// Vectors makes one vector per key.
func Vectors(keys []int64) [][]float32 {
	var vectors [][]float32
	for _, key := range keys {
		vector := make([]float32, Dim)
		for place := range vector {
			vector[place] = float32((key*31+int64(place)*7)%1000) / 8
		}
		vectors = append(vectors, vector)
	}
	return vectors
}
