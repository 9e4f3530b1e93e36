// Package host reads and writes what a cluster shares with the machine it runs on: kernel settings,
// control groups, and the note of which clusters run.
package host

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kubeletSysctls are the settings of the whole machine that a kubelet changes.
var kubeletSysctls = []string{
	"kernel/keys/root_maxbytes",
	"kernel/keys/root_maxkeys",
	"kernel/panic",
	"kernel/panic_on_oops",
	"vm/overcommit_memory",
	"vm/panic_on_oom",
}

// Sysctls are kernel settings: paths below /proc/sys and their values.
type Sysctls map[string]string

// ReadSysctls reads the settings that a kubelet changes. Those that this kernel lacks are left out.
func ReadSysctls(root string) (Sysctls, error) {
	values := Sysctls{}
	for _, name := range kubeletSysctls {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the kernel setting %s: %w", name, err)
		}
		values[name] = strings.TrimSpace(string(raw))
	}
	return values, nil
}

// Write sets the settings that differ, and goes on after a failure.
func (s Sysctls) Write(root string) error {
	current, err := ReadSysctls(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if current[name] == s[name] {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(s[name]), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("setting %s back to %s: %w", name, s[name], err))
		}
	}
	return errors.Join(errs...)
}
