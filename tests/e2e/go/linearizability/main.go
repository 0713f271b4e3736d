// Linearizability: concurrent clients write and read a few keys while the server flushes, compacts, collects garbage, is
// killed and starts again. Every call is noted with its moments and its answer, and porcupine decides whether some order
// of the calls explains all answers.
//
//	linearizability [-seconds 25] [-clients 8] [-kill-every 3] [-seed N] [-out FOLDER]   against $E2E_BINARY
//	linearizability -check FILE                                                         a history of an earlier run
//
// A write without an acknowledgement may have happened, may happen at any later time, or never. A failed read is left
// out. In the end every group of keys is read once more, so a row that got lost after its last read shows too. Then wrong
// histories are made out of the true one, and each of them must be refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	// Calls of a group before another one takes its place: short histories are checked fast.
	callsPerGroup = 60
	activeGroups  = 4
	checkTimeout  = 60 * time.Second
	// In every second group one call of so many is given up by its client after a few milliseconds. The others have few
	// writes of unknown outcome, so that a wrong history can be made of them.
	hasty = 6
)

type options struct {
	binary, out, check string
	seconds, clients   int
	killEvery          float64
	stale              time.Duration
	seed               int64
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", os.Getenv("E2E_BINARY"), "the server")
	flag.StringVar(&o.out, "out", "", "folder for data, log and history; none: a new one, removed after success")
	flag.StringVar(&o.check, "check", "", "check this history and start no server")
	flag.IntVar(&o.seconds, "seconds", 25, "how long the clients run")
	flag.IntVar(&o.clients, "clients", 8, "clients at once")
	flag.Float64Var(&o.killEvery, "kill-every", 3, "seconds between two kill -9; 0: none")
	flag.DurationVar(&o.stale, "stale", 0, "answer a read with one of up to so long ago: the check must fail then")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano(), "of the clients' choices")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(o options) error {
	if o.check != "" {
		history, err := ReadHistory(o.check)
		if err != nil {
			return err
		}
		return check(history.events, o.check)
	}
	folder := o.out
	if folder == "" {
		made, err := os.MkdirTemp("", "datacoord-linearizability-")
		if err != nil {
			return err
		}
		folder = made
	} else if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	fmt.Printf("seed %d, %d clients, %d s, in %s\n", o.seed, o.clients, o.seconds, folder)
	if err := judge(o, folder); err != nil {
		return fmt.Errorf("%w (see %s)", err, folder)
	}
	if o.out == "" {
		return os.RemoveAll(folder)
	}
	return nil
}

// judge makes a history and checks it.
func judge(o options, folder string) error {
	server := NewServer(o.binary, folder)
	world := &world{options: o, server: server, began: time.Now(), next: activeGroups}
	if err := errors.Join(world.live(), server.Stop()); err != nil {
		return err
	}
	path := filepath.Join(folder, "history.jsonl")
	if err := world.history.Write(path); err != nil {
		return err
	}
	if err := world.counts(); err != nil {
		return err
	}
	if err := check(world.history.events, path); err != nil {
		return err
	}
	return checkTheChecker(world.history.events)
}

// check has porcupine judge a history, and draws it if it is refused.
func check(events []Event, path string) error {
	began := time.Now()
	result, info := porcupine.CheckOperationsVerbose(Model, Operations(events), checkTimeout)
	fmt.Printf("%d calls: %s after %s\n", len(events), result, time.Since(began).Round(time.Millisecond))
	if result == porcupine.Ok {
		return nil
	}
	picture := path + ".html"
	if err := porcupine.VisualizePath(Model, info, picture); err != nil {
		return err
	}
	return fmt.Errorf("the history is not linearizable: %s, drawn in %s", result, picture)
}

// checkTheChecker makes wrong histories out of a true one.
func checkTheChecker(events []Event) error {
	refused := 0
	for _, corruption := range Corruptions {
		wrong := slices.Clone(events)
		if !corruption.Apply(wrong) {
			fmt.Printf("no place for a wrong history: %s\n", corruption.Name)
			continue
		}
		refused++
		if result := porcupine.CheckOperationsTimeout(Model, Operations(wrong), checkTimeout); result != porcupine.Illegal {
			return fmt.Errorf("a wrong history is %s: %s", result, corruption.Name)
		}
	}
	fmt.Printf("%d of %d wrong histories are refused\n", refused, len(Corruptions))
	if refused == 0 {
		return errors.New("no wrong history could be made")
	}
	return nil
}

// --- clients

type world struct {
	options
	server  *Server
	history History
	began   time.Time
	// The last value, and the number of the newest group.
	value, next int64
	calls       [activeGroups]atomic.Int64
	groups      [activeGroups]atomic.Int64
	// Counts, so that a run in which nothing happened is no success.
	kills, flushes, plans atomic.Int64
}

func (w *world) live() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.seconds)*time.Second)
	defer cancel()
	if err := w.server.Start(); err != nil {
		return err
	}
	client, _ := w.server.Client()
	if err := CreateCollection(ctx, client); err != nil {
		return err
	}
	for slot := range w.groups {
		w.groups[slot].Store(int64(slot))
	}
	var clients, helpers sync.WaitGroup
	failures := make(chan error, w.clients+3)
	for number := 0; number < w.clients; number++ {
		clients.Add(1)
		go func(number int) {
			defer clients.Done()
			failures <- w.client(ctx, number)
		}(number)
	}
	for _, disturb := range []func(context.Context) error{w.flush, w.compact, w.kill} {
		helpers.Add(1)
		go func(disturb func(context.Context) error) {
			defer helpers.Done()
			failures <- disturb(ctx)
		}(disturb)
	}
	<-ctx.Done()
	helpers.Wait()
	w.server.Leave()
	clients.Wait()
	close(failures)
	var failed error
	for failure := range failures {
		failed = errors.Join(failed, failure)
	}
	if failed != nil {
		return failed
	}
	return w.readAll()
}

// client calls until the time is over.
func (w *world) client(ctx context.Context, number int) error {
	chance := rand.New(rand.NewSource(w.seed + int64(number)))
	past := map[int64][]Event{}
	for ctx.Err() == nil {
		slot := chance.Intn(activeGroups)
		group := w.groups[slot].Load()
		if w.calls[slot].Add(1)%callsPerGroup == 0 {
			w.groups[slot].CompareAndSwap(group, atomic.AddInt64(&w.next, 1))
		}
		patience := callTimeout
		if group%2 == 1 && chance.Intn(hasty) == 0 {
			patience = time.Duration(1+chance.Intn(15)) * time.Millisecond
		}
		event, sent := w.call(number, w.choose(chance, group), patience)
		if !sent || (event.Call.Kind == Query && event.Found == nil) {
			continue
		}
		if w.stale > 0 && event.Found != nil {
			// As a replica would that lags behind: the newest answer that is old enough.
			past[group] = append(past[group], event)
			for _, earlier := range past[group] {
				if event.Began-earlier.Began < int64(w.stale) {
					event.Found = earlier.Found
					break
				}
			}
		}
		w.history.Add(event)
	}
	return nil
}

func (w *world) choose(chance *rand.Rand, group int64) Call {
	call := Call{Group: group}
	some := func() []int { return chance.Perm(Keys)[:1+chance.Intn(Keys)] }
	write := func(keys []int) {
		call.Values = map[int]int64{}
		for _, key := range keys {
			call.Values[key] = atomic.AddInt64(&w.value, 1)
		}
	}
	switch dice := chance.Intn(100); {
	case dice < 30:
		call.Kind = Upsert
		write(some())
	case dice < 37:
		call.Kind = Insert
		write(some())
	case dice < 50:
		call.Kind = Delete
		call.Keys = some()
	case dice < 56:
		call.Kind = DeleteBelow
		call.Bound = atomic.LoadInt64(&w.value) - int64(chance.Intn(40))
	default:
		call.Kind = Query
	}
	return call
}

// call sends one call. False: there is no server, and nothing was sent.
func (w *world) call(number int, call Call, patience time.Duration) (Event, bool) {
	client, runs := w.server.Client()
	if !runs {
		return Event{}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	event := Event{Client: number, Call: call, Began: time.Since(w.began).Nanoseconds()}
	found, err := Do(ctx, client, call)
	event.Ended, event.Found = time.Since(w.began).Nanoseconds(), found
	if err != nil {
		event.Unknown = err.Error()
	}
	return event, true
}

// readAll reads every group once more, when nothing else happens.
func (w *world) readAll() error {
	for group := int64(0); group <= w.next; group++ {
		event, sent := w.call(w.clients, Call{Kind: Query, Group: group}, callTimeout)
		if !sent || event.Found == nil {
			return fmt.Errorf("group %d can't be read in the end: %s", group, event.Unknown)
		}
		w.history.Add(event)
	}
	return nil
}

// --- disturbances of the server

func (w *world) every(ctx context.Context, pause time.Duration, act func() error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := act(); err != nil {
			return err
		}
	}
}

// A flush or a compaction during which the server is killed has failed, and that is all.
func (w *world) flush(ctx context.Context) error {
	return w.every(ctx, 150*time.Millisecond, func() error {
		if client, runs := w.server.Client(); runs && Flush(ctx, client) == nil {
			w.flushes.Add(1)
		}
		return nil
	})
}

func (w *world) compact(ctx context.Context) error {
	return w.every(ctx, 400*time.Millisecond, func() error {
		if client, runs := w.server.Client(); runs {
			if plans, err := Compact(ctx, client); err == nil {
				w.plans.Add(plans)
			}
		}
		return nil
	})
}

func (w *world) kill(ctx context.Context) error {
	if w.killEvery == 0 {
		return nil
	}
	chance := rand.New(rand.NewSource(-w.seed))
	for {
		pause := time.Duration((0.5 + chance.Float64()) * w.killEvery * float64(time.Second))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := errors.Join(w.server.Kill(), w.server.Start()); err != nil {
			return err
		}
		w.kills.Add(1)
	}
}

// counts prints how much has happened, and fails if it was too little.
func (w *world) counts() error {
	kinds, unknown := map[Kind]int{}, 0
	var why string
	for _, event := range w.history.events {
		kinds[event.Call.Kind]++
		if event.Unknown != "" {
			unknown++
			why = event.Unknown
		}
	}
	all := len(w.history.events)
	fmt.Printf("%v, %d unknown; %d groups, %d flushes, %d plans, %d kills\n",
		kinds, unknown, w.next+1, w.flushes.Load(), w.plans.Load(), w.kills.Load())
	if unknown > all/4 {
		return fmt.Errorf("%d of %d calls have no answer, the last one: %s", unknown, all, why)
	}
	tooLittle := w.flushes.Load() == 0 || w.plans.Load() == 0 || (w.killEvery > 0 && w.kills.Load() == 0)
	for _, kind := range []Kind{Insert, Upsert, Delete, DeleteBelow, Query} {
		tooLittle = tooLittle || kinds[kind] == 0
	}
	if tooLittle {
		return errors.New("too little has happened")
	}
	return nil
}
