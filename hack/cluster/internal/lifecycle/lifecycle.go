// Package lifecycle starts, asks and ends a cluster from the host's side.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/host"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/image"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// teardownLimit is for killing and cleaning up, which goes on after an interrupt.
const teardownLimit = 30 * time.Second

// ErrNotRunning says that the cluster has no processes.
var ErrNotRunning = errors.New("not running; start it with 'up'")

// Down ends the cluster and removes all that is left of it. It may be called for one that is not
// there, or only partly. What it waits for is said to out.
func Down(ctx context.Context, c layout.Cluster, out io.Writer) (existed bool, err error) {
	unlock, err := lock(ctx, c, out)
	if err != nil {
		return false, err
	}
	defer unlock()
	_, registered, err := lookup(c)
	if err != nil {
		return false, err
	}
	_, statErr := os.Stat(c.Dir)
	return registered || statErr == nil, tearDown(ctx, c, "")
}

// Load makes the images in the archives known to the cluster, and returns what was loaded.
func Load(ctx context.Context, c layout.Cluster, archives []string) ([]string, error) {
	entry, ok, err := lookup(c)
	if err != nil {
		return nil, err
	}
	if !ok || !entry.Init.Alive() {
		return nil, ErrNotRunning
	}
	socket := filepath.Join("/proc", strconv.Itoa(entry.Init.PID), "root", settings.ContainerdSocket)
	var loaded []string
	for _, archive := range archives {
		out, err := image.Import(ctx, socket, archive)
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, out)
	}
	return loaded, nil
}

// lock keeps other commands from changing the same cluster meanwhile.
func lock(ctx context.Context, c layout.Cluster, out io.Writer) (unlock func(), err error) {
	notice := time.AfterFunc(time.Second, func() {
		fmt.Fprintf(out, "waiting for another command that starts or ends the cluster %s\n", c.Name)
	})
	defer notice.Stop()
	return host.Lock(ctx, "cluster/"+c.Name)
}

// lookup finds the cluster's entry, and refuses one of that name that belongs to another cache.
func lookup(c layout.Cluster) (host.Entry, bool, error) {
	entry, ok, err := host.OpenRegistry().Lookup(c.Name)
	if err != nil || !ok {
		return host.Entry{}, false, err
	}
	if entry.Dir != c.Dir && entry.Init.Alive() {
		return host.Entry{}, false, fmt.Errorf("a cluster named %q runs from %s: choose another name, or set %s as it was set there", c.Name, entry.Dir, layout.CacheVariable)
	}
	return entry, true, nil
}

// tearDown kills the cluster and removes its control groups, its settings and its folder, but for
// the entry of the folder named keep.
func tearDown(ctx context.Context, c layout.Cluster, keep string) error {
	// An interrupt must not leave half of it behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownLimit)
	defer cancel()
	entry, registered, err := lookup(c)
	if err != nil {
		return err
	}
	if registered {
		if err := entry.Init.Kill(ctx); err != nil {
			return err
		}
	}
	cgroups, err := host.FindCgroups()
	if err != nil {
		return err
	}
	return errors.Join(
		cgroups.Remove(ctx, c.Cgroup()),
		host.OpenRegistry().Remove(ctx, c.Name),
		removeFolder(c.Dir, keep),
	)
}

// removeFolder removes the folder, or everything in it but the entry to keep.
func removeFolder(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the cluster's folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() == keep {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("removing the cluster's folder: %w", err)
		}
	}
	if keep != "" {
		return nil
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("removing the cluster's folder: %w", err)
	}
	return nil
}
