package lgrp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/listengroup/listengroup/lgrp"
)

func ExampleReason() {
	whose := func(r lgrp.Reason) string {
		switch r {
		case lgrp.ReasonReturned, lgrp.ReasonDrained:
			return "in order"
		case lgrp.ReasonPeerClosed, lgrp.ReasonHandshake, lgrp.ReasonTimeout:
			return "the client's doing"
		case lgrp.ReasonLimit, lgrp.ReasonDenied, lgrp.ReasonEvicted, lgrp.ReasonKilled,
			lgrp.ReasonForced, lgrp.ReasonListenerRemoved:
			return "our decision"
		case lgrp.ReasonError, lgrp.ReasonPanic:
			return "to be looked into"
		default: // ReasonNone
			return "not over"
		}
	}
	fmt.Println(whose(lgrp.ReasonNone))
	for _, r := range lgrp.Reasons()[:4] {
		fmt.Printf("%v: %s\n", r, whose(r))
	}
	// Output:
	// not over
	// returned: in order
	// error: to be looked into
	// panic: to be looked into
	// killed: our decision
}

func ExampleReasons() {
	var names []string
	for _, r := range lgrp.Reasons() {
		names = append(names, r.String())
	}
	fmt.Println(strings.Join(names, " "))
	// Output: returned error panic killed peer-closed handshake timeout limit denied evicted drained forced listener-removed
}

func ExampleReasonOf() {
	fmt.Println(lgrp.ReasonOf(nil, false), lgrp.ReasonOf(nil, true), lgrp.ReasonOf(io.EOF, true))
	fmt.Println(lgrp.ReasonOf(&lgrp.CloseError{Reason: lgrp.ReasonDenied}, false))
	// Output:
	// returned drained peer-closed
	// denied
}

func ExampleAnyConn_Close() {
	for _, cause := range []error{
		nil, lgrp.ErrKilled, lgrp.ErrDrained, lgrp.ErrEvicted, lgrp.ErrListenerRemoved, lgrp.ErrLimit,
		&lgrp.CloseError{Reason: lgrp.ReasonDenied},
	} {
		var c lgrp.AnyConn
		c.Close(cause)
		c.Close(errors.New("too late: the first reason stays"))
		fmt.Println(c.Info().Reason)
	}
	// Output:
	// killed
	// killed
	// drained
	// evicted
	// listener-removed
	// limit
	// denied
}

// Reasons and states are words in JSON and in configuration.
func ExampleReason_UnmarshalText() {
	var r lgrp.Reason
	fmt.Println(r.UnmarshalText([]byte("peer-closed")), r == lgrp.ReasonPeerClosed)
	fmt.Println(json.Unmarshal([]byte(`"bored"`), &r) != nil)
	text, err := lgrp.ReasonEvicted.MarshalText()
	fmt.Printf("%s %v\n", text, err)

	var s lgrp.ListenerState
	fmt.Println(s.UnmarshalText([]byte("backing-off")), s == lgrp.StateBackingOff)
	text, err = lgrp.StateFull.MarshalText()
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// <nil> true
	// true
	// evicted <nil>
	// <nil> true
	// full <nil>
}
