// Package procs has a process run Go code on as many processors at the same time
// as it has work for, and no more.
//
// Most of the time a sampler has a call or two, each of which is handed from one
// goroutine to the next. With many processors the runtime wakes a thread for every
// hand-over, looking for work that one thread would have done by the time; on one
// processor the same call takes two thirds of the time and of the processor.
package procs

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// interval is how often the load is looked at while there is some.
	interval = 50 * time.Millisecond
	// More than busy of the processors in use asks for more of them; less than
	// quiet, for patience looks in a row, for fewer. A caller that makes one call
	// after another keeps two thirds of one busy, and three quarters where there
	// are two: that is to come to one, and to stay there.
	busy, quiet = 0.85, 0.4
	patience    = 20
	// Below asleep there is no load that would have to be looked at.
	asleep = 0.01
)

// Governor sets how many processors Go code runs on. The zero value is one that
// leaves everything as it is.
type Governor struct {
	governs bool
	looking atomic.Bool
}

// New returns a governor that begins with one processor. Where GOMAXPROCS says how
// many, that is left as it is.
func New() *Governor {
	if os.Getenv("GOMAXPROCS") != "" {
		return &Governor{}
	}
	runtime.GOMAXPROCS(1)
	return &Governor{governs: true}
}

// Work tells that there is something to do. It is cheap, and to be called for
// each request.
func (g *Governor) Work() {
	if g.governs && !g.looking.Load() && g.looking.CompareAndSwap(false, true) {
		go g.look()
	}
}

// look follows the load until there is none.
func (g *Governor) look() {
	defer g.looking.Store(false)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	p := pace{n: runtime.GOMAXPROCS(0)}
	before, at := used(), time.Now()
	for now := range ticks.C {
		after := used()
		wall := now.Sub(at)
		if wall <= 0 {
			continue
		}
		want := p.next(float64(after-before)/float64(wall), most)
		before, at = after, now
		if want != runtime.GOMAXPROCS(0) {
			runtime.GOMAXPROCS(want)
		}
		if p.idle() {
			return
		}
	}
}

// most is how many processors there are for this process, by the runtime's own
// rules: the limit of its cgroup may have changed.
func most() int {
	now := runtime.GOMAXPROCS(0)
	runtime.SetDefaultGOMAXPROCS()
	return max(now, runtime.GOMAXPROCS(0))
}

// pace decides how many processors to use.
type pace struct {
	n     int
	lulls int // looks in a row with less to do than n are for
	still int // looks in a row with nothing to do
}

// next takes how many processors were in use, and returns how many there are to
// be. most is asked only where more are wanted.
func (p *pace) next(used float64, most func() int) int {
	if used < asleep {
		p.still++
	} else {
		p.still = 0
	}
	switch {
	case used > busy*float64(p.n):
		p.lulls = 0
		p.n = min(2*p.n, max(most(), 1))
	case used < quiet*float64(p.n) && p.n > 1:
		if p.lulls++; p.lulls >= patience {
			p.lulls, p.n = 0, p.n/2
		}
	default:
		p.lulls = 0
	}
	return p.n
}

// idle reports whether there is nothing to follow any more.
func (p *pace) idle() bool { return p.n == 1 && p.still >= patience }

// used is the processor time that this process has had.
func used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // it never fails for the process itself
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
