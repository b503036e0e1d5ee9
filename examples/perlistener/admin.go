package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

// adminID names the listener that the commands come in on.
const adminID = "admin"

const help = `  add URL [id=ID] [max=N] [greeting=TEXT]   listen; TEXT is the rest of the line
  list                                     the listeners
  conns [ID]                               the connections, of one listener or all
  kill N                                   close connection N
  remove ID [kill]                         stop listening; connections go on, or are closed
  drain ID [DURATION]                      stop listening, let connections finish, force after 5s
  pause ID, resume ID                      clients wait in the kernel's queue meanwhile
  release ID                               give the port up until resume
  limit N, limit ID N                      most connections of the group, of a listener; 0 is no limit
  info                                     everything, as JSON
  help, quit
`

var (
	errQuit  = errors.New("bye")
	errUsage = errors.New("that is not how it is called: see help")
	errAdmin = errors.New("the admin listener stays as it is")
)

// admin serves the admin socket: one command a line, each answered by its
// output, by "ok" if it has none, or by one line that begins with "error:".
func (s *server) admin(ctx context.Context, nc net.Conn, c *conn) error {
	err := eachLine(ctx, nc, c, func(line string) error {
		var out strings.Builder
		c.SetNote(fmt.Sprintf("%.60q", line))
		switch err := s.command(ctx, &out, line); {
		case errors.Is(err, errQuit):
			return err
		case err != nil:
			fmt.Fprintf(&out, "error: %v\n", err)
		case out.Len() == 0 && strings.TrimSpace(line) != "":
			out.WriteString("ok\n")
		}
		_, err := io.WriteString(nc, out.String())
		return err
	})
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

func (s *server) command(ctx context.Context, out io.Writer, line string) error {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	args := strings.Fields(rest)
	switch {
	case verb == "":
		return nil
	case verb == "help" && len(args) == 0:
		_, err := io.WriteString(out, help)
		return err
	case verb == "quit" && len(args) == 0:
		return errQuit
	case verb == "add":
		return s.add(ctx, out, rest)
	case verb == "list" && len(args) == 0:
		return s.list(out)
	case verb == "conns" && len(args) <= 1:
		return s.conns(out, args)
	case verb == "info" && len(args) == 0:
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(s.group.Info())
	case verb == "kill" && len(args) == 1:
		return s.kill(args[0])
	case verb == "limit" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		s.group.SetMaxConns(n)
		return nil
	case !slices.Contains(orders, verb) || len(args) == 0:
		return errUsage
	}
	l, ok := s.group.Listener(args[0])
	switch {
	case !ok:
		return fmt.Errorf("there is no listener %q", args[0])
	case l.Context().admin:
		return errAdmin
	}
	return s.order(ctx, out, l, verb, args[1:])
}

var orders = []string{"pause", "release", "resume", "remove", "limit", "drain"}

// order is a command about one listener.
func (s *server) order(ctx context.Context, out io.Writer, l *lgrp.Listener[*port], verb string, args []string) error {
	switch {
	case verb == "pause" && len(args) == 0:
		return l.Pause()
	case verb == "release" && len(args) == 0:
		return l.Release()
	case verb == "resume" && len(args) == 0:
		return l.Resume(ctx)
	case verb == "remove" && len(args) == 0:
		return l.Remove(lgrp.KeepConns)
	case verb == "remove" && len(args) == 1 && args[0] == "kill":
		return l.Remove(lgrp.KillConns)
	case verb == "limit" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		l.SetMaxConns(n)
		return nil
	case verb == "drain" && len(args) <= 1:
		patience := 5 * time.Second
		if len(args) == 1 {
			var err error
			if patience, err = time.ParseDuration(args[0]); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r, err := l.Drain(ctx, nil)
		fmt.Fprintf(out, "%d finished, %d forced, %d stuck\n", r.Finished, r.Forced, len(r.Stuck))
		return err
	}
	return errUsage
}

// add understands "URL key=value … greeting=the rest". An address has no
// spaces, so the first one ends it. A range of ports is several listeners.
func (s *server) add(ctx context.Context, out io.Writer, rest string) error {
	options, greeting, _ := strings.Cut(rest+" ", " greeting=")
	fields := strings.Fields(options)
	if len(fields) == 0 {
		return errUsage
	}
	a, err := addr.Parse(fields[0])
	if err != nil {
		return err
	}
	spec := lgrp.ListenerSpec[*port]{Addr: a, Context: &port{greeting: strings.TrimSpace(greeting)}}
	for _, f := range fields[1:] {
		switch key, value, _ := strings.Cut(f, "="); key {
		case "id":
			spec.ID = value
		case "max":
			if spec.MaxConns, err = strconv.Atoi(value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is none of id=, max= and greeting=", f)
		}
	}
	if spec.Context.greeting == "" {
		spec.Context.greeting = "hello"
	}
	// The connection's context would do: only its values outlive the call.
	ls, err := s.group.AddAll(ctx, spec)
	for _, l := range ls {
		fmt.Fprintf(out, "%s %s\n", l.ID(), l.Addr())
	}
	return err
}

func (s *server) list(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tADDRESS\tSTATE\tACTIVE\tPARKED\tMAX\tACCEPTED\tLINES\tGREETING")
	for l := range s.group.Listeners() {
		i := l.Info()
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", i.ID, i.Addr, state(i),
			i.Active, i.Parked, i.MaxConns, i.Accepted, l.Context().lines.Load(), l.Context().greeting)
	}
	return w.Flush()
}

// state is what a listener does, and why if it is not well.
func state(i lgrp.ListenerInfo) string {
	if i.Cause != nil {
		return fmt.Sprintf("%s (%v)", i.State, i.Cause)
	}
	return i.State.String()
}

// conns lists what ConnInfos yields: connections that wait for a slot too. The
// lines of a connection are known once its handler runs.
func (s *server) conns(out io.Writer, only []string) error {
	if len(only) == 1 {
		if _, ok := s.group.Listener(only[0]); !ok {
			return fmt.Errorf("there is no listener %q", only[0])
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONN\tLISTENER\tPEER\tAGE\tLINES\tNOTE")
	for i := range s.group.ConnInfos() {
		if len(only) == 1 && i.ListenerID != only[0] {
			continue
		}
		lines, note := "-", i.Note
		if c, ok := s.group.Conn(i.ID); ok {
			lines = strconv.FormatInt(c.Data.lines.Load(), 10)
		}
		if i.Parked {
			note = "waits for a slot"
		}
		age := time.Since(i.AcceptedAt).Round(time.Second)
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.ListenerID, i.Remote, age, lines, note)
	}
	return w.Flush()
}

func (s *server) kill(n string) error {
	id, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return err
	}
	if !s.group.Kill(id, errors.New("killed by an admin")) {
		return fmt.Errorf("there is no connection %d", id)
	}
	return nil
}
