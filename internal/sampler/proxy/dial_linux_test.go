package proxy

import (
	"syscall"
	"testing"
)

func TestAServerThatIsGoneIsNoticed(t *testing.T) {
	raw, err := dialed(t).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(option int) (value int) {
		t.Helper()
		if err := raw.Control(func(fd uintptr) {
			if value, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Error(err)
		}
		return value
	}
	unacknowledged := option(tcpUserTimeout)
	silent := option(syscall.TCP_KEEPIDLE) + option(syscall.TCP_KEEPINTVL)*option(syscall.TCP_KEEPCNT)
	if unacknowledged < 20_000 || unacknowledged > 30_000 || silent < 20 || silent > 30 {
		t.Errorf("noticed after %d ms while sending and %d s while waiting, want 20 to 30 s", unacknowledged, silent)
	}
}
