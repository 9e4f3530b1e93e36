package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPoll(t *testing.T) {
	notYet := errors.New("not yet")
	for sentence, test := range map[string]struct {
		readyAfter time.Duration
		cancelAt   time.Duration
		wantAfter  time.Duration
		wantError  string
	}{
		"what works at once is not waited for":        {},
		"it asks again until the answer is yes":       {readyAfter: time.Second, wantAfter: time.Second},
		"it gives up with the last reason":            {readyAfter: time.Hour, wantAfter: startLimit + pollPause, wantError: "not yet"},
		"it stops when nobody wants to know any more": {readyAfter: time.Hour, cancelAt: time.Second, wantAfter: time.Second, wantError: context.Canceled.Error()},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancelAt > 0 {
					time.AfterFunc(test.cancelAt, cancel)
				}
				began := time.Now()
				err := poll(ctx, func(context.Context) error {
					if time.Since(began) < test.readyAfter {
						return notYet
					}
					return nil
				})
				if got := time.Since(began); got != test.wantAfter {
					t.Errorf("it took %s, want %s", got, test.wantAfter)
				}
				switch {
				case test.wantError == "" && err != nil:
					t.Errorf("poll() error = %v", err)
				case test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)):
					t.Errorf("poll() error = %v, want one with %q", err, test.wantError)
				}
			})
		})
	}
}
