// Command release makes everything that a release consists of, in one folder:
// programs, images, chart, manifest, bills of materials and checksums. The same
// commit and the same Go make the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/semver"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// defaults are the platforms on which the programs run. Images are made for those
// of Linux.
const defaults = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64"

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	var (
		r          release
		platforms  = flags.String("platforms", defaults, "platforms to build for, separated by commas")
		allowDirty = flags.Bool("allow-dirty", false, "make one of what is not committed, to try it; it says so")
	)
	flags.StringVar(&r.root, "root", "../..", "folder of the project")
	flags.StringVar(&r.out, "out", "dist/release", "folder of the release; what is in it is deleted")
	flags.StringVar(&r.version, "version", "", "version of the release, for example v1.2.3; by default the chart's appVersion")
	flags.StringVar(&r.commit, "commit", "", "commit to name; by default git's HEAD")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	if !filepath.IsAbs(r.out) {
		r.out = filepath.Join(r.root, r.out)
	}
	for name := range strings.SplitSeq(*platforms, ",") {
		p, err := program.Parse(name)
		if err != nil {
			return err
		}
		r.platforms = append(r.platforms, p)
	}
	if r.commit == "" {
		if r.commit, err = commit(ctx, r.root, *allowDirty); err != nil {
			return err
		}
	}
	if r.at, err = sourceDate(ctx, r.root); err != nil {
		return err
	}
	if r.version != "" && (!semver.IsValid(r.version) || semver.Canonical(r.version) != r.version) {
		return fmt.Errorf("-version %q: write it as v1.2.3 or v1.2.3-rc.1", r.version)
	}
	return r.make(ctx)
}

// commit is what git has checked out, if nothing of it was changed.
func commit(ctx context.Context, root string, allowDirty bool) (string, error) {
	head, err := git(ctx, root, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	changed, err := git(ctx, root, "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changed == "" {
		return head, nil
	}
	if !allowDirty {
		return "", fmt.Errorf("there is what is not committed; nobody could make this release again (-allow-dirty tries it):\n%s", changed)
	}
	return head + "-dirty", nil
}

// sourceDate is the time that everything in the release bears.
func sourceDate(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = git(ctx, root, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: give seconds since 1970: %w", text, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}
