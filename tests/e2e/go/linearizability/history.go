// The history: every call with its moments and its answer, also as JSON lines.
package main

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"sync"

	"github.com/anishathalye/porcupine"
)

// Event is a call, with its answer if there was one.
type Event struct {
	Client int  `json:"client"`
	Call   Call `json:"call"`
	// Nanoseconds since the beginning.
	Began int64 `json:"began"`
	Ended int64 `json:"ended"`
	// A write without an acknowledgement: it may have happened, may happen later, or never.
	Unknown string `json:"unknown,omitempty"`
	Found   *Rows  `json:"found,omitempty"`
}

// History collects events of all clients.
type History struct {
	lock   sync.Mutex
	events []Event
}

// Add notes an event.
func (h *History) Add(event Event) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.events = append(h.events, event)
}

// Write writes the events as JSON lines.
func (h *History) Write(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	for _, event := range h.events {
		if err := encoder.Encode(event); err != nil {
			return err
		}
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// ReadHistory reads the file of an earlier run.
func ReadHistory(path string) (*History, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	history := &History{}
	for decoder := json.NewDecoder(file); decoder.More(); {
		var event Event
		if err := decoder.Decode(&event); err != nil {
			return nil, err
		}
		history.events = append(history.events, event)
	}
	return history, nil
}

// Operations are the events as the checker takes them.
func Operations(events []Event) []porcupine.Operation {
	var operations []porcupine.Operation
	for number, event := range events {
		operation := porcupine.Operation{ClientId: event.Client, Input: event.Call, Call: event.Began, Return: event.Ended}
		if event.Found != nil {
			operation.Output = *event.Found
		}
		if event.Unknown != "" {
			operation.Return = math.MaxInt64
		}
		if event.Call.Kind == DeleteBelow {
			first, second := event.Call, event.Call
			first.Kind, second.Kind, first.id, second.id = match, apply, number, number
			operation.Input = first
			operations = append(operations, operation)
			operation.Input = second
		}
		operations = append(operations, operation)
	}
	return operations
}
