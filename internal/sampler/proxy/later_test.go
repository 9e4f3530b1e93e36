package proxy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsLeftToDoIsDoneTogetherInAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := workers(t)
		var done atomic.Int32
		for range maxLater {
			h.later(func() { done.Add(1) }, maxLaterBytes)
		}
		synctest.Wait()
		if got := done.Load(); got != 0 {
			t.Errorf("%d tasks are done at once, want none", got)
		}
		time.Sleep(laterTime)
		synctest.Wait()
		if got := done.Load(); got != maxLater {
			t.Errorf("%d tasks are done after %s, want all %d", got, laterTime, maxLater)
		}
		h.later(func() { done.Add(1) }, 0)
		time.Sleep(laterTime)
		synctest.Wait()
		if got := done.Load(); got != maxLater+1 {
			t.Error("a task that comes after those is not done")
		}
	})
}

func TestWhatHoldsMuchIsDoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := workers(t)
		var done atomic.Int32
		h.later(func() { done.Add(1) }, maxLaterBytes+1)
		if got := done.Load(); got != 1 {
			t.Error("a task that holds much memory waits")
		}
		for range maxLater + 1 {
			h.later(func() { done.Add(1) }, 0)
		}
		if got := done.Load(); got != 2 {
			t.Errorf("%d tasks are done, want the large one, and the one that is too many", got)
		}
	})
}

func TestNothingIsLeftToDoWhenAHandlerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := workers(t)
		var done atomic.Int32
		h.later(func() { done.Add(1) }, 0)
		h.stop()
		h.background.Wait()
		if got := done.Load(); got != 1 {
			t.Error("a task is lost")
		}
		h.closed = true
		h.later(func() { done.Add(1) }, 0)
		if got := done.Load(); got != 2 {
			t.Error("a task that comes late is lost")
		}
	})
}
