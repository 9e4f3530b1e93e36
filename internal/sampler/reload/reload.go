// Package reload keeps a sampler's configuration current: it reads the file,
// hands it on when it changed, and never trades a good configuration for a bad
// one.
package reload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// rereadInterval is how often the file is read although nothing was notified:
// not every file system notifies of every change.
const rereadInterval = 5 * time.Second

// File is a configuration file. Its methods may be called from one goroutine;
// Err from any.
type File struct {
	path  string
	apply func(*config.Effective) error
	log   *slog.Logger

	seen []byte // what was read last, good or bad
	err  atomic.Pointer[error]
}

// New returns the file at path. apply takes each new configuration into use; if
// it fails the one before stays.
func New(path string, log *slog.Logger, apply func(*config.Effective) error) *File {
	return &File{path: path, apply: apply, log: log}
}

// Err says why the newest file is not in use; nil if it is.
func (f *File) Err() error {
	if p := f.err.Load(); p != nil {
		return *p
	}
	return nil
}

// Load reads the file and applies it if it changed since the last call.
func (f *File) Load() error {
	data, err := read(f.path)
	if err != nil {
		f.seen = nil // the same bytes after it must clear the error
		return f.failed(err)
	}
	if f.seen != nil && bytes.Equal(data, f.seen) {
		return f.Err()
	}
	f.seen = data
	c, err := config.Decode(data)
	if err != nil {
		return f.failed(fmt.Errorf("%s: %w", f.path, err))
	}
	if err := f.apply(c); err != nil {
		return f.failed(fmt.Errorf("%s: %w", f.path, err))
	}
	f.err.Store(nil)
	return nil
}

func (f *File) failed(err error) error {
	f.err.Store(&err)
	return err
}

// read returns the file's bytes, bounded: it may be anything that a user named.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, config.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}

// Run follows the file until ctx ends. It watches the folder and not the file:
// editors and mounted ConfigMaps replace the file (a ConfigMap's files are links
// into a folder that is swapped as a whole).
func (f *File) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.path, err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("watch %s: %w", filepath.Dir(f.path), err)
	}
	tick := time.NewTicker(rereadInterval)
	defer tick.Stop()
	var last string
	for {
		if err := f.Load(); err != nil {
			if err.Error() != last {
				last = err.Error()
				f.log.Error("the configuration is not in use, the one before stays", "error", err)
			}
		} else {
			last = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
		case err := <-watcher.Errors:
			f.log.Warn("watching the configuration", "error", err)
		case <-tick.C:
		}
	}
}
