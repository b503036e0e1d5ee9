package lgrp

// ListenerState is what a listener is doing.
//
//	Starting → Accepting ⇄ {Paused, Released, Full, BackingOff} → Draining → Closed
//
// Callers set what is intended (accept, pause, release, drain, close). Full
// and BackingOff are shown only while accepting is intended.
type ListenerState uint8

// The states of a listener.
const (
	StateStarting   ListenerState = iota // bound, warming up: OnBound runs
	StateAccepting                       // waiting in Accept, or at work on what it returned
	StatePaused                          // keeps its port and does not accept: clients wait in the kernel's queue
	StateReleased                        // gave its port up: clients are refused
	StateFull                            // waiting for a slot: the listener's or the group's limit is reached
	StateBackingOff                      // waiting before the next Accept, since the last one failed
	StateDraining                        // has stopped, or is stopping, to accept; its connections are asked to finish
	StateClosed                          // for good
	numStates
)

var stateNames = [numStates]string{
	"starting", "accepting", "paused", "released", "full", "backing-off", "draining", "closed",
}

// String returns the state in lower case, such as "backing-off".
func (s ListenerState) String() string { return name(stateNames[:], uint8(s), "state") }

// MarshalText returns what String does; it never fails.
func (s ListenerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes what MarshalText made, and fails for other text.
func (s *ListenerState) UnmarshalText(text []byte) error {
	return parseName(stateNames[:], text, "listener state", (*uint8)(s))
}

// RemoveMode says what becomes of a removed listener's connections.
type RemoveMode uint8

// The modes of Remove.
const (
	KeepConns RemoveMode = iota // they go on, as connections of the group
	KillConns                   // they are closed with ErrListenerRemoved
)

// String returns "keep-conns" or "kill-conns".
func (m RemoveMode) String() string {
	return name([]string{"keep-conns", "kill-conns"}, uint8(m), "mode")
}
