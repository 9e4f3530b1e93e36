package bridge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// leavesBehind is a server that ends when two processes with sessions of their
// own run: one that heeds SIGTERM and one that does not. Both write their number.
const leavesBehind = `cd "$1"
(setsid sh -c 'echo $$ >heeds; exec sleep 300' &)
(setsid sh -c 'trap "" TERM; echo $$ >ignores; while :; do sleep 300; done' &)
while [ ! -s heeds ] || [ ! -s ignores ]; do sleep 0.01; done
exit 3`

// sweepAsInit runs such a server as process 1, beside a stranger, and prints what
// is left.
func sweepAsInit() error {
	dir, err := os.MkdirTemp("", "sweep")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer reap()()
	stranger := exec.Command("sleep", "300")
	stranger.Env = append(os.Environ(), markerEnv+"="+newID())
	if err := children.start(stranger); err != nil {
		return err
	}
	o := Options{
		Command: []string{"sh", "-c", leavesBehind, "sh", dir},
		Log:     slog.New(slog.DiscardHandler), Stderr: io.Discard,
		times: times{orphanGrace: 200 * time.Millisecond},
	}
	if err := o.complete(); err != nil {
		return err
	}
	p, err := startProcess(&o, "x", false, func([]byte, bool) {})
	if err != nil {
		return err
	}
	<-p.done
	own := len(marked(markerEnv)) - 1 // without the stranger, which has another value
	strangers := len(marked(stranger.Env[len(stranger.Env)-1]))
	left := "some"
	for deadline := time.Now().Add(patience); left == "some" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if zombies() == 0 {
			left = "none"
		}
	}
	fmt.Printf("%s, its own: %d, strangers: %d, zombies: %s\n", p.status, own, strangers, left)
	return nil
}

func TestWhatASessionLeavesBehindEndsWithIt(t *testing.T) {
	f := newFixture(t, "", func(o *Options) {
		o.Command = []string{"sh", "-c", strings.Replace(leavesBehind, "exit 3", `exec "$2"`, 1), "sh", t.TempDir(), os.Args[0]}
		o.times.orphanGrace = 100 * time.Millisecond
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String() + "/mcp"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.bridge.serve(ctx, listener) }()

	session := f.begin()
	p := f.bridge.session(session).mux.process
	var left []string
	for _, name := range []string{"heeds", "ignores"} {
		pid, err := os.ReadFile(filepath.Join(p.opts.Command[4], name))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, strings.TrimSpace(string(pid)))
	}
	if got := len(marked(p.marker)); got < 3 {
		t.Fatalf("%d processes run, want the server and what it has started", got)
	}
	f.do(http.MethodDelete, "", wire.HeaderSession, session)
	<-p.done
	if got := marked(p.marker); len(got) != 0 {
		t.Errorf("processes %v still run", got)
	}
	for _, pid := range left {
		number, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "what was left behind is not reaped", func() bool { return syscall.Kill(number, 0) == syscall.ESRCH })
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}
