package bridge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeInitEnv makes this test binary process 1 of a namespace.
const fakeInitEnv = "BRIDGE_FAKE_INIT"

func TestReapingAsProcess1(t *testing.T) {
	for name, tc := range map[string]struct {
		mode string
		want string
	}{
		"orphans are reaped, and no status is lost":                {"reap", "20 ended with exit status 3, zombies: none"},
		"what made a session of its own is ended, and no stranger": {"sweep", "exit status 3, its own: 0, strangers: 1, zombies: none"},
		"they would stay if nobody did":                            {"leave", "20 ended with exit status 3, zombies: some"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fakeInitEnv+"="+tc.mode, "GORACE=atexit_sleep_ms=0")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
			if os.Getuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// runAsInit starts servers that leave orphans behind, some in a group of their
// own, and prints what came of them.
func runAsInit() {
	err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
	)
	if err != nil {
		fmt.Println("mount:", err)
		os.Exit(1)
	}
	if os.Getenv(fakeInitEnv) == "sweep" {
		if err := sweepAsInit(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	stop := func() {}
	if os.Getenv(fakeInitEnv) == "reap" {
		stop = reap()
	}
	o := Options{
		Command: []string{"sh", "-c", "setsid true & true & (true & true) & exit 3"},
		Log:     slog.New(slog.DiscardHandler), Stderr: io.Discard,
	}
	if err := o.complete(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ended := map[string]int{}
	var running []*process
	for range 20 {
		p, err := startProcess(&o, "x", false, func([]byte, bool) {})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		running = append(running, p)
	}
	for _, p := range running {
		<-p.done
		ended[p.status]++
	}
	for status, n := range ended {
		fmt.Printf("%d ended with %s, ", n, status)
	}
	patience := 10 * time.Second
	if os.Getenv(fakeInitEnv) != "reap" {
		patience = time.Second
	}
	left := "some"
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); left == "some" && time.Now().Before(deadline); <-tick.C {
		if zombies() == 0 {
			left = "none"
		}
	}
	stop()
	fmt.Println("zombies:", left)
}

func zombies() int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return -1
	}
	n := 0
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err == nil && isOrphanedZombie(stat, 1) {
			n++
		}
	}
	return n
}

func TestZombiesAreRead(t *testing.T) {
	for name, tc := range map[string]struct {
		stat string
		want bool
	}{
		"an orphan that has ended":              {"12 (sh) Z 1 12 12 0", true},
		"an orphan that runs":                   {"12 (sh) S 1 12 12 0", false},
		"the zombie of another process":         {"12 (sh) Z 11 12 12 0", false},
		"a name that looks like something else": {"12 (a) Z 1) S 1 12 12 0", false},
		"nothing":                               {"", false},
		"cut off":                               {"12 (sh) Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isOrphanedZombie([]byte(tc.stat), 1); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
