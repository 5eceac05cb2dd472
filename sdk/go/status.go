// SPDX-License-Identifier: BSD-3-Clause

package becket

import (
	"errors"
	"fmt"
)

// Status is the status of an answer, a frame or a refusal. Any number may occur;
// one without a name counts as an error.
type Status uint32

// The statuses that have a name.
const (
	StatusOk           Status = 0  // done; as a frame: more may follow
	StatusErr          Status = 1  // failed while running
	StatusInvalid      Status = 2  // bad input, id or state
	StatusUnsupported  Status = 3  // not offered
	StatusStreamEnd    Status = 4  // the last frame of a good stream
	StatusPanic        Status = 5  // a panic was caught
	StatusBackpressure Status = 6  // full; nothing was taken
	StatusTimeout      Status = 7  // what was waited for did not come in time
	StatusCancelled    Status = 8  // a wait for a call that has no caller any more
	StatusClosed       Status = 9  // nothing more comes
	StatusTooLong      Status = 10 // longer than the host takes; nothing was taken
)

var statusNames = [...]string{
	"Ok", "Err", "Invalid", "Unsupported", "StreamEnd", "Panic", "Backpressure",
	"Timeout", "Cancelled", "Closed", "TooLong",
}

// String is the name in the C header, or "status N".
func (s Status) String() string {
	if int64(s) < int64(len(statusNames)) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint32(s))
}

// Errors of calls and streams. Test for them with [errors.Is].
var (
	// ErrBackpressure: the host's queue or quota is full; nothing was taken.
	ErrBackpressure = errors.New("becket: the host's queue is full")
	// ErrClosed: the call or stream has no caller any more.
	ErrClosed = errors.New("becket: the call is over")
	// ErrTooLong: longer than the host takes. A frame was not sent, and its
	// stream goes on; an answer or a last frame ended its call with TooLong.
	ErrTooLong = errors.New("becket: longer than the host takes")
	// ErrCancelled is the cause of a context that ended because the caller left
	// or its deadline passed.
	ErrCancelled = errors.New("becket: the caller no longer waits")
	// ErrShutdown is the cause of a context that ended with the plugin.
	ErrShutdown = errors.New("becket: the plugin shuts down")
	// ErrNoState: nothing is kept under this key.
	ErrNoState = errors.New("becket: no such state")
	// ErrUnsupported: the host does not offer this.
	ErrUnsupported = errors.New("becket: not offered by this host")
)

// StatusError is a status as an error. A stream handler that returns one ends
// its stream with this status and message.
type StatusError struct {
	Status  Status
	Message string
}

func (e *StatusError) Error() string {
	if e.Message == "" {
		return "becket: " + e.Status.String()
	}
	return fmt.Sprintf("becket: %s: %s", e.Status, e.Message)
}

// errorOf is what the host's answer to one of our calls means here.
func errorOf(s Status) error {
	switch s {
	case StatusOk:
		return nil
	case StatusInvalid:
		return ErrClosed
	case StatusUnsupported:
		return ErrUnsupported
	case StatusBackpressure:
		return ErrBackpressure
	case StatusTooLong:
		return ErrTooLong
	default:
		return &StatusError{Status: s}
	}
}

// StatusOf is the status for err: that of a [StatusError] or of this package's
// errors, Ok for nil, else Err.
func StatusOf(err error) Status {
	var withStatus *StatusError
	switch {
	case err == nil:
		return StatusOk
	case errors.As(err, &withStatus):
		return withStatus.Status
	case errors.Is(err, ErrBackpressure):
		return StatusBackpressure
	case errors.Is(err, ErrClosed):
		return StatusInvalid
	case errors.Is(err, ErrTooLong):
		return StatusTooLong
	case errors.Is(err, ErrUnsupported):
		return StatusUnsupported
	default:
		return StatusErr
	}
}

// finalFrame is the terminal frame of a stream whose handler returned err.
func finalFrame(err error) (Status, []byte) {
	status := StatusOf(err)
	var withStatus *StatusError
	switch {
	case err == nil:
		return StatusStreamEnd, nil
	case errors.As(err, &withStatus) && status != StatusOk:
		return status, []byte(withStatus.Message)
	case status == StatusBackpressure:
		return status, []byte("stream queue full")
	case status == StatusOk:
		return StatusErr, []byte(err.Error())
	default:
		return status, []byte(err.Error())
	}
}
