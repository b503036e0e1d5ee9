package lgrp

import (
	"encoding/json"
	"log/slog"
	"net"
	"time"

	"github.com/listengroup/listengroup/addr"
)

// ListenerInfo is what is known of a listener at one moment. The numbers in it
// are consistent with each other:
//
//	Accepted = Active + Uncounted + Parked + all of Closed
//
// In events Closed is nil.
type ListenerInfo struct {
	ID        string            `json:"id"`
	Serial    uint64            `json:"serial"` // tells two listeners that used the same id apart
	Addr      addr.Addr         `json:"addr"`   // as bound: port 0 resolved
	State     ListenerState     `json:"state"`
	Since     time.Time         `json:"since"`               // when it came to this state
	Cause     error             `json:"-"`                   // why it backs off, or why it failed; in JSON a string
	Active    int               `json:"active"`              // connections that hold a slot
	Uncounted int               `json:"uncounted"`           // connections that gave theirs back, see AnyConn.Uncount
	Parked    int               `json:"parked"`              // connections that wait for one
	MaxConns  int               `json:"max_conns,omitempty"` // 0: no limit of its own
	Accepted  uint64            `json:"accepted"`            // connections accepted since Add
	Closed    map[Reason]uint64 `json:"closed,omitempty"`    // connections ended since Add; reasons that never occurred are absent
}

// MarshalJSON writes Cause as a string.
func (i ListenerInfo) MarshalJSON() ([]byte, error) {
	type plain ListenerInfo // without methods
	return json.Marshal(struct {
		plain
		Cause string `json:"cause,omitempty"`
	}{plain(i), errString(i.Cause)})
}

// LogValue groups what a log reader wants to see of a listener.
func (i ListenerInfo) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("id", i.ID), slog.String("addr", i.Addr.String()), slog.String("state", i.State.String()),
		slog.Int("active", i.Active), slog.Int("parked", i.Parked), slog.Uint64("accepted", i.Accepted),
	}
	if i.Cause != nil {
		attrs = append(attrs, slog.String("cause", i.Cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// ConnInfo is what is known of a connection at one moment.
type ConnInfo struct {
	ID             uint64    `json:"id"`
	ListenerID     string    `json:"listener"`
	ListenerSerial uint64    `json:"listener_serial"`
	Local          net.Addr  `json:"-"` // in JSON a string
	Remote         net.Addr  `json:"-"` // in JSON a string; the real peer once SetRemoteAddr told it
	AcceptedAt     time.Time `json:"accepted_at"`
	Parked         bool      `json:"parked,omitempty"`      // waits for a slot; its handler has not been started
	Draining       bool      `json:"draining,omitempty"`    // has been asked to finish
	Idle           bool      `json:"idle,omitempty"`        // see AnyConn.SetIdle
	Counted        bool      `json:"counted,omitempty"`     // holds a slot
	ServerName     string    `json:"server_name,omitempty"` // TLS SNI
	Protocol       string    `json:"protocol,omitempty"`    // TLS ALPN
	Note           string    `json:"note,omitempty"`
	Reason         Reason    `json:"reason"` // ReasonNone until it has been told to end
}

// MarshalJSON writes the addresses as strings.
func (i ConnInfo) MarshalJSON() ([]byte, error) {
	type plain ConnInfo // without methods
	return json.Marshal(struct {
		plain
		Local  string `json:"local,omitempty"`
		Remote string `json:"remote,omitempty"`
	}{plain(i), addrString(i.Local), addrString(i.Remote)})
}

// LogValue groups what a log reader wants to see of a connection.
func (i ConnInfo) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Uint64("id", i.ID), slog.String("listener", i.ListenerID)}
	if i.Remote != nil {
		attrs = append(attrs, slog.String("peer", i.Remote.String()))
	}
	if i.Note != "" {
		attrs = append(attrs, slog.String("note", i.Note))
	}
	if i.Reason != ReasonNone {
		attrs = append(attrs, slog.String("reason", i.Reason.String()))
	}
	return slog.GroupValue(attrs...)
}

// GroupInfo is what is known of a group at one moment: its listeners, in the
// order in which they were added, and totals that include listeners that have
// been removed. All of it is one consistent snapshot.
type GroupInfo struct {
	Listeners []ListenerInfo    `json:"listeners"`
	Active    int               `json:"active"`
	Uncounted int               `json:"uncounted"`
	Parked    int               `json:"parked"`
	MaxConns  int               `json:"max_conns,omitempty"` // 0: no limit
	Accepted  uint64            `json:"accepted"`
	Closed    map[Reason]uint64 `json:"closed,omitempty"`
	Ready     bool              `json:"ready"`    // see ListenGroup.Ready
	Draining  bool              `json:"draining"` // a drain of all of it is under way, or it has been shut down
}

// LogValue groups the totals.
func (i GroupInfo) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("listeners", len(i.Listeners)), slog.Int("active", i.Active), slog.Int("parked", i.Parked),
		slog.Uint64("accepted", i.Accepted), slog.Bool("ready", i.Ready), slog.Bool("draining", i.Draining))
}

// Counts are the numbers that [ListenGroup.Wait] looks at: one consistent
// snapshot. Accepted and Ended only grow, so a condition on them is never
// missed; the others may come and go unseen.
type Counts struct {
	Listeners int // that are not Closed
	Active    int // connections that hold a slot
	Uncounted int // connections that gave theirs back
	Parked    int // connections that wait for one
	Accepted  uint64
	Ended     uint64 // Accepted = Active + Uncounted + Parked + Ended
}

func errString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func addrString(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// tally counts ended connections by reason.
type tally [numReasons]uint64

func (t *tally) asMap() map[Reason]uint64 {
	m := make(map[Reason]uint64)
	for r, n := range t {
		if n > 0 {
			m[Reason(r)] = n
		}
	}
	return m
}
