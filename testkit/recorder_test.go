package testkit_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit"
)

func TestRecorderTextIsRepeatable(t *testing.T) {
	var texts []string
	for range 20 {
		testkit.Bubble(t, func(t *testing.T) {
			var r testkit.Recorder
			var wg sync.WaitGroup
			for id := range uint64(5) {
				wg.Go(func() {
					r.ConnOpened(id, "web")
					time.Sleep(time.Second)
					r.ConnClosed(id, "web", "returned", nil)
				})
			}
			wg.Wait()
			r.Stopped()
			require.NoError(t, r.Check())
			texts = append(texts, r.String())
		})
	}
	require.Contains(t, texts[0], "0s conn 0 on web: opened\n0s conn 1 on web: opened\n")
	for _, text := range texts {
		require.Equal(t, texts[0], text)
	}
}

// lgrp.DefaultAcceptBackoff waits between four fifths and the whole of 5 ms, 10 ms and so on, at most 1 s.
func TestRecorderTextHasNoChance(t *testing.T) {
	text := func(retryIn time.Duration) string {
		var text string
		testkit.Bubble(t, func(t *testing.T) {
			var r testkit.Recorder
			r.AcceptError("web", syscall.EMFILE, retryIn)
			text = r.String()
		})
		return text
	}
	for d := 5 * time.Millisecond; d <= 640*time.Millisecond; d *= 2 {
		for percent := range time.Duration(21) {
			require.Equal(t, text(d), text(d-d*percent/100))
		}
	}
	require.Equal(t, text(time.Second), text(800*time.Millisecond))
	require.Equal(t, "0s listener web: too many open files, retry within 10ms\n", text(8374855))
	require.Equal(t, "0s listener web: too many open files, retry at once\n", text(0))
	require.Equal(t, "0s listener web: too many open files, given up\n", text(-1))
}

func TestRecorderCheck(t *testing.T) {
	type R = testkit.Recorder
	tests := []struct {
		name string
		do   func(r *R)
		want string // empty: nothing is wrong
	}{
		{"nothing", func(r *R) {}, ""},
		{"one life", func(r *R) { r.ConnOpened(1, "a"); r.ConnClosed(1, "a", "killed", nil) }, ""},
		{"opened twice", func(r *R) { r.ConnOpened(1, "a"); r.ConnOpened(1, "a") }, "0s: connection 1 was opened twice"},
		{"closed twice", func(r *R) {
			r.ConnOpened(1, "a")
			r.ConnClosed(1, "a", "killed", nil)
			r.ConnClosed(1, "a", "returned", nil)
		}, "0s: connection 1 was closed twice"},
		{"closed unopened", func(r *R) { r.ConnClosed(1, "a", "killed", nil) }, "0s: connection 1 was closed but never opened"},
		{"closed by another", func(r *R) { r.ConnOpened(1, "a"); r.ConnClosed(1, "b", "killed", nil) },
			"0s: connection 1 was opened by a and closed by b"},
		{"open at the end", func(r *R) { r.ConnOpened(1, "a"); r.ConnOpened(2, "a"); r.Stopped(2) },
			"0s: connection 1 was open when the shutdown returned"},
		{"opened after the end", func(r *R) { r.Stopped(); time.Sleep(time.Second); r.ConnOpened(1, "a") },
			"1s: connection 1 was opened after the shutdown had returned"},
		{"over the limit", func(r *R) { r.Limit("a", 1); r.ConnOpened(1, "a"); r.ConnOpened(2, "a") },
			"0s: connection 2 was admitted as number 2 of a, whose limit is 1"},
		{"over the group's limit", func(r *R) {
			r.Limit("", 1)
			r.ConnOpened(1, "a")
			time.Sleep(1 * time.Nanosecond)
			r.ConnOpened(2, "b")
		},
			"1ns: connection 2 was admitted as number 2 of the group, whose limit is 1"},
		{"a slot handed on within an instant", func(r *R) {
			r.Limit("a", 1)
			r.ConnOpened(1, "a")
			r.ConnOpened(2, "a")
			r.ConnClosed(1, "a", "returned", nil)
		}, ""},
		{"uncounted", func(r *R) { r.Limit("a", 1); r.ConnOpened(1, "a"); r.ConnUncounted(1); r.ConnOpened(2, "a") }, ""},
		{"an uncounted end frees no second slot", func(r *R) {
			r.Limit("a", 1)
			r.ConnOpened(1, "a")
			r.ConnUncounted(1)
			time.Sleep(1 * time.Nanosecond)
			r.ConnOpened(2, "a")
			time.Sleep(1 * time.Nanosecond)
			r.ConnClosed(1, "a", "returned", nil)
			time.Sleep(1 * time.Nanosecond)
			r.ConnOpened(3, "a")
		}, "3ns: connection 3 was admitted as number 2 of a, whose limit is 1"},
		{"lowering kills nobody", func(r *R) {
			r.Limit("a", 2)
			r.ConnOpened(1, "a")
			r.ConnOpened(2, "a")
			r.Limit("a", 1)
		}, ""},
		{"admitted above a lowered limit", func(r *R) {
			r.Limit("a", 0)
			r.ConnOpened(1, "a")
			time.Sleep(1 * time.Nanosecond)
			r.Limit("a", 1)
			time.Sleep(1 * time.Nanosecond)
			r.ConnOpened(2, "a")
		}, "2ns: connection 2 was admitted as number 2 of a, whose limit is 1"},
		{"a first limit in the instant of admissions", func(r *R) {
			r.ConnOpened(1, "a")
			r.ConnOpened(2, "a")
			r.Limit("a", 1)
			r.ConnOpened(3, "a") // it may have been admitted before
		}, ""},
		{"the limit of a later listener with the same id", func(r *R) {
			r.Limit("a", 1)
			r.ConnOpened(1, "a#2")
			r.ConnOpened(2, "a#2")
		}, "0s: connection 2 was admitted as number 2 of a#2, whose limit is 1"},
		{"a limit of its own for a later listener", func(r *R) {
			r.Limit("a", 1)
			r.Limit("a#2", 2)
			r.ConnOpened(1, "a#2")
			r.ConnOpened(2, "a#2")
		}, ""},
		{"states", func(r *R) { r.ListenerState("a", "starting", "accepting"); r.ListenerState("a", "accepting", "closed") }, ""},
		{"a lost state", func(r *R) { r.ListenerState("a", "starting", "accepting"); r.ListenerState("a", "paused", "closed") },
			"0s: listener a went from paused to closed, but was accepting"},
		{"life after the end", func(r *R) { r.ListenerState("a", "accepting", "closed"); r.ListenerState("a", "closed", "accepting") },
			"0s: listener a went to accepting after it was closed"},
		{"spin", func(r *R) {
			for range 101 {
				r.AcceptError("a", errors.New("broken"), 0)
			}
		}, "0s: listener a met more than 100 accept errors at once"},
		{"patience", func(r *R) {
			for range 200 {
				r.AcceptError("a", errors.New("broken"), 1)
				time.Sleep(1 * time.Nanosecond)
			}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var r testkit.Recorder
				r.Note("start")
				tt.do(&r)
				if tt.want == "" {
					require.NoError(t, r.Check())
				} else {
					require.EqualError(t, r.Check(), tt.want)
				}
			})
		})
	}
}
