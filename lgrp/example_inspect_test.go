package lgrp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

func ExampleListenGroup_Conns() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:conns", Port{"Hello"})
	nc := dial(l)
	say(nc, "you")
	for c := range g.Conns() {
		fmt.Println(c.ID(), c.Listener.Greeting, time.Since(c.AcceptedAt()) < time.Hour)
		c.SetNote("being looked at")
	}
	for info := range g.ConnInfos() {
		fmt.Println(info.ID, info.ListenerID, info.Note, info.Reason)
	}
	c, ok := g.Conn(1)
	fmt.Println(c.ID(), ok)
	fmt.Println(g.Kill(1, errors.New("enough")), g.Kill(1, nil))
	_, err := io.ReadAll(nc)
	fmt.Println(err)
	_ = g.Wait(context.Background(), func(n lgrp.Counts) bool { return n.Ended == 1 })
	fmt.Println(g.Info().Closed[lgrp.ReasonKilled], c.Info().Reason)
	// Output:
	// 1 Hello true
	// 1 mem:conns being looked at none
	// 1 true
	// true false
	// <nil>
	// 1 killed
}

func ExampleListenGroup_Info() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	g.SetMaxConns(100)
	l, _ := g.Listen(context.Background(), "mem:info", Port{"Hello"})
	l.SetMaxConns(10)
	say(dial(l), "you")
	info := g.Info()
	info.Listeners[0].Since = time.Time{}
	b, _ := json.MarshalIndent(info, "", "  ")
	fmt.Println(string(b))
	// Output:
	// {
	//   "listeners": [
	//     {
	//       "id": "mem:info",
	//       "serial": 1,
	//       "addr": "mem:info",
	//       "state": "accepting",
	//       "since": "0001-01-01T00:00:00Z",
	//       "active": 1,
	//       "uncounted": 0,
	//       "parked": 0,
	//       "max_conns": 10,
	//       "accepted": 1
	//     }
	//   ],
	//   "active": 1,
	//   "uncounted": 0,
	//   "parked": 0,
	//   "max_conns": 100,
	//   "accepted": 1,
	//   "ready": true,
	//   "draining": false
	// }
}

// What inspection returns can be logged and sent as it is.
func ExampleConnInfo() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key != "v" {
				return slog.Attr{}
			}
			return a
		},
	}))
	var h lgrp.GroupHandler[Port, Session] = door{map[string]bool{"Ada": true}}
	g := lgrp.NewGroup(h, &lgrp.Options{MaxConns: 5})
	log.Info("", "v", g.Info())
	log.Info("", "v", lgrp.ListenerInfo{ID: "front", Addr: addr.MustParse(":80"), State: lgrp.StatePaused})
	c := lgrp.ConnInfo{
		ID: 7, ListenerID: "front", ListenerSerial: 2, Counted: true, Note: "GET /", Reason: lgrp.ReasonTimeout,
		Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234},
	}
	log.Info("", "v", c)
	b, err := c.MarshalJSON()
	fmt.Println(string(b), err)
	// Output:
	// v.listeners=0 v.active=0 v.parked=0 v.accepted=0 v.ready=false v.draining=false
	// v.id=front v.addr=:80 v.state=paused v.active=0 v.parked=0 v.accepted=0
	// v.id=7 v.listener=front v.peer=192.0.2.1:1234 v.note="GET /" v.reason=timeout
	// {"id":7,"listener":"front","listener_serial":2,"accepted_at":"0001-01-01T00:00:00Z","counted":true,"note":"GET /","reason":"timeout","remote":"192.0.2.1:1234"} <nil>
}
