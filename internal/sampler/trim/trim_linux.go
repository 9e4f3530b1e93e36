package trim

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// segment is a part of the program as the kernel has mapped it.
type segment struct{ from, to uintptr }

// dropProgram drops the pages of the program's code and constants.
func dropProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("see how the program is mapped: %w", err)
	}
	defer f.Close()
	segments, err := clean(f, exe)
	if err != nil {
		return err
	}
	for _, s := range segments {
		// The call itself: the wrapper takes only memory that Go knows of.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("drop pages of the program: %w", errno)
		}
	}
	return nil
}

// clean returns the segments of the file exe that nobody can have written to:
// mapped without the right to, and without a page of their own. (A program that
// is relocated when it starts has some.)
func clean(smaps io.Reader, exe string) ([]segment, error) {
	var (
		out     []segment
		current *segment
	)
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if name, isValue := strings.CutSuffix(fields[0], ":"); isValue {
			if name == "Anonymous" && current != nil {
				if len(fields) > 1 && fields[1] == "0" {
					out = append(out, *current)
				}
				current = nil
			}
			continue
		}
		current = nil
		if len(fields) < 6 || fields[5] != exe || strings.Contains(fields[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		a, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("see how the program is mapped: %w", err)
		}
		b, err := strconv.ParseUint(to, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("see how the program is mapped: %w", err)
		}
		if b > a {
			current = &segment{uintptr(a), uintptr(b)}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("see how the program is mapped: %w", err)
	}
	return out, nil
}
