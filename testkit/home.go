package testkit

import "errors"

// home is where something was made: in a bubble or outside. Whoever waits for it elsewhere must not be woken
// by those at home, nor they by it: the runtime ends the whole binary then, and says nothing of the cause.
type home struct{ inBubble bool }

var (
	errMadeOutside = errors.New("it was made outside of the bubble it is used in: make it inside")
	errMadeInside  = errors.New("it was made in a bubble and is used outside of it")
)

func here() home { return home{virtual()} }

// foreign is why the caller must not wait, nil if it may.
func (h home) foreign() error {
	if virtual() == h.inBubble {
		return nil
	}
	switch inBubble := bubbleID() != 0; {
	case inBubble == h.inBubble:
		return nil // the clock only looked as if
	case inBubble:
		return errMadeOutside
	default:
		return errMadeInside
	}
}

func isForeign(err error) bool { return err == errMadeOutside || err == errMadeInside }
