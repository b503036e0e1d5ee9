package prop

import (
	"fmt"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// Events returns events that feed r. A listener is named by its id, with "#" and its serial number from the
// second listener of the group on, so that two that used the same id are told apart.
func Events(r *testkit.Recorder) *lgrp.Events {
	return &lgrp.Events{
		ListenerState: func(info lgrp.ListenerInfo, from lgrp.ListenerState) {
			r.ListenerState(listenerName(info.ID, info.Serial), from.String(), info.State.String())
		},
		ConnOpened: func(info lgrp.ConnInfo) {
			r.ConnOpened(info.ID, listenerName(info.ListenerID, info.ListenerSerial))
		},
		ConnClosed: func(info lgrp.ConnInfo, why lgrp.Reason, err error) {
			r.ConnClosed(info.ID, listenerName(info.ListenerID, info.ListenerSerial), why.String(), err)
		},
		AcceptError: func(info lgrp.ListenerInfo, err error, retryIn time.Duration) {
			r.AcceptError(listenerName(info.ID, info.Serial), err, retryIn)
		},
	}
}

func listenerName(id string, serial uint64) string {
	if serial <= 1 {
		return id
	}
	return fmt.Sprintf("%s#%d", id, serial)
}
