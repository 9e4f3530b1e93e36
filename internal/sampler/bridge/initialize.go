package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// errNotInitialized says that a process runs and does not answer initialize.
var errNotInitialized = errors.New("the command has not answered initialize")

func (b *Bridge) notInitialized() error {
	return fmt.Errorf("%w within %s: see the container's log", errNotInitialized, short(b.opts.InitializeTimeout))
}

// short writes a duration as one gives it to a flag: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// expire fails a call that was not answered in time; first is called before its
// caller knows.
func (x *mux) expire(c *call, reason string, first func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.calls[wire.Message{ID: c.wireID}.Key()] == c {
		first()
		x.fail(c, reason)
	}
}

// statusOfInitialize returns the status of the answer to initialize. The
// stateless era has no such method, and gives a refusal another status.
func statusOfInitialize(m wire.Message, answer []byte) int {
	if wire.IsModernVersion(text(m.Params, "_meta", wire.MetaVersion)) {
		return modernStatus(answer)
	}
	return http.StatusOK
}

// versionFor returns the version of a session of a process that others share:
// what the process has agreed to with the first of them, or the caller's if that
// is an older one. Such a caller may know no other; what it may meet of a newer
// version is what it does not know and passes over.
func versionFor(caller, agreed string) string {
	known := wire.LegacyVersions() // newest first
	mine, its := slices.Index(known, caller), slices.Index(known, agreed)
	if its >= 0 && mine > its {
		return caller
	}
	return agreed
}
