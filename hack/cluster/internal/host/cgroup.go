package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CgroupMount is where the control group file systems are mounted.
const CgroupMount = "/sys/fs/cgroup"

// Cgroups makes and removes one root control group for everything in a cluster's pods.
type Cgroups struct {
	// Mount is the folder of the hierarchies (version 1) or the one hierarchy (version 2).
	Mount   string
	Unified bool
}

// FindCgroups tells how this machine mounts its control groups.
func FindCgroups() (Cgroups, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(CgroupMount, &stat); err != nil {
		return Cgroups{}, fmt.Errorf("looking for control groups at %s: %w", CgroupMount, err)
	}
	return Cgroups{Mount: CgroupMount, Unified: stat.Type == unix.CGROUP2_SUPER_MAGIC}, nil
}

// Create makes the control group in every hierarchy, ready for a kubelet.
func (c Cgroups) Create(name string) error {
	if c.Unified {
		return c.createUnified(name)
	}
	roots, err := c.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the control group %s: %w", dir, err)
		}
		// A cpuset without processors and memory takes no process.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(root, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), value, 0o644)
			}
			if err != nil {
				return fmt.Errorf("passing %s on to the control group %s: %w", file, dir, err)
			}
		}
	}
	return nil
}

// createUnified is written after the kernel's documentation of version 2; no machine at hand had
// it, so it is untried.
func (c Cgroups) createUnified(name string) error {
	dir := filepath.Join(c.Mount, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the control group %s: %w", dir, err)
	}
	for _, parent := range []string{c.Mount, dir} {
		available, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("reading the controllers of %s: %w", parent, err)
		}
		// One at a time: a controller that can't be passed on would hold back all others.
		for controller := range strings.FieldsSeq(string(available)) {
			err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			if err != nil && needed(controller) {
				return fmt.Errorf("passing the %s controller on below %s: %w", controller, parent, err)
			}
		}
	}
	return nil
}

// needed tells whether a kubelet refuses to run without that controller.
func needed(controller string) bool {
	switch controller {
	case "cpu", "cpuset", "memory", "pids":
		return true
	}
	return false
}

// Remove removes the control group and all below it. Processes that are about to end hold theirs
// for a moment, so it tries until the context ends.
func (c Cgroups) Remove(ctx context.Context, name string) error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, name)
		for {
			err := removeTree(dir)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("removing the control group %s: %w", dir, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// roots are the folders in which a control group is made.
func (c Cgroups) roots() ([]string, error) {
	if c.Unified {
		return []string{c.Mount}, nil
	}
	entries, err := os.ReadDir(c.Mount)
	if err != nil {
		return nil, fmt.Errorf("listing the control group hierarchies: %w", err)
	}
	var roots []string
	for _, e := range entries {
		// Links such as cpu,cpuacct name a hierarchy a second time.
		if e.IsDir() {
			roots = append(roots, filepath.Join(c.Mount, e.Name()))
		}
	}
	return roots, nil
}

// removeTree removes a control group, children first: its files are not removed, only the folders.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
