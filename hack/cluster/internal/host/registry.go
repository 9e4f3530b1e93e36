package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// registryPath is in /run, which a reboot empties: what it says would be wrong after one.
const registryPath = "/run/mcp-sampling-devcluster.json"

// Entry is what the machine remembers of a cluster that was started and not taken down.
type Entry struct {
	// Dir is the cluster's folder. Two caches on one machine may not use the same name.
	Dir string `json:"dir"`
	// Init is the first process of the cluster's namespaces; when it ends, all of them end.
	Init Process `json:"init"`
}

type registry struct {
	// Before are the kernel settings from before the first cluster.
	Before   Sysctls          `json:"before"`
	Clusters map[string]Entry `json:"clusters"`
}

// Registry is the machine's note of the clusters that run on it and of what to restore when the
// last one goes.
type Registry struct {
	path  string
	procs string
}

// OpenRegistry returns this machine's registry.
func OpenRegistry() Registry { return Registry{path: registryPath, procs: "/proc"} }

// Lookup returns the entry of a cluster.
func (r Registry) Lookup(name string) (Entry, bool, error) {
	reg, err := r.read()
	if err != nil {
		return Entry{}, false, err
	}
	e, ok := reg.Clusters[name]
	return e, ok, nil
}

// Add notes a cluster. The first one also notes the kernel settings as they are: add it before its
// kubelet starts.
func (r Registry) Add(ctx context.Context, name string, e Entry) error {
	return r.change(ctx, func(reg *registry) error {
		if len(reg.Clusters) == 0 {
			before, err := ReadSysctls(filepath.Join(r.procs, "sys"))
			if err != nil {
				return err
			}
			reg.Before = before
		}
		if reg.Clusters == nil {
			reg.Clusters = map[string]Entry{}
		}
		reg.Clusters[name] = e
		return nil
	})
}

// Remove forgets a cluster whose processes have ended. The last one sets the kernel settings back.
func (r Registry) Remove(ctx context.Context, name string) error {
	return r.change(ctx, func(reg *registry) error {
		if _, ok := reg.Clusters[name]; !ok {
			return nil
		}
		delete(reg.Clusters, name)
		for _, other := range reg.Clusters {
			if other.Init.Alive() {
				return nil
			}
		}
		return reg.Before.Write(filepath.Join(r.procs, "sys"))
	})
}

func (r Registry) change(ctx context.Context, edit func(*registry) error) error {
	unlock, err := Lock(ctx, "registry")
	if err != nil {
		return err
	}
	defer unlock()
	reg, err := r.read()
	if err != nil {
		return err
	}
	editErr := edit(&reg)
	if len(reg.Clusters) == 0 {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(editErr, fmt.Errorf("removing the note of running clusters: %w", err))
		}
		return editErr
	}
	raw, err := json.MarshalIndent(reg, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the note of running clusters: %w", err)
	}
	if err := os.WriteFile(r.path, append(raw, '\n'), 0o644); err != nil {
		return errors.Join(editErr, fmt.Errorf("writing the note of running clusters: %w", err))
	}
	return editErr
}

func (r Registry) read() (registry, error) {
	raw, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return registry{}, nil
	}
	if err != nil {
		return registry{}, fmt.Errorf("reading the note of running clusters: %w", err)
	}
	var reg registry
	if err := json.Unmarshal(raw, &reg); err != nil {
		return registry{}, fmt.Errorf("the note of running clusters, %s, can't be read (%w): remove it once no cluster runs", r.path, err)
	}
	return reg, nil
}

// Lock waits until nobody else on the machine holds the lock of that name. It is an abstract socket
// address: it ends with the process that holds it and leaves no file behind.
func Lock(ctx context.Context, name string) (unlock func(), err error) {
	address := &net.UnixAddr{Net: "unix", Name: "@mcp-sampling-devcluster/" + name}
	for {
		l, err := net.ListenUnix("unix", address)
		if err == nil {
			return func() { _ = l.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another devcluster command (%s): %w", name, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
