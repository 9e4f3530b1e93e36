package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// busy is the time that all processors of this machine were not idle. The kernel
// counts it in hundredths of a second.
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("processors: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, field := range strings.Fields(line) {
		const name, idle, waiting, guest = 0, 4, 5, 9
		if i == name || i == idle || i == waiting || i >= guest {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processors: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}

// usage is the processor time of this machine at one moment.
type usage struct {
	at          time.Time
	total, ours time.Duration
}

func (s *setup) usage() (usage, error) {
	u := usage{at: time.Now()}
	var err error
	if u.total, err = busy(); err != nil {
		return u, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, fmt.Errorf("processor time of this program: %w", err)
	}
	u.ours = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	for _, p := range s.started {
		cpu, err := p.cpu()
		if err != nil {
			return u, err
		}
		u.ours += cpu
	}
	return u, nil
}

// othersUsed is which part of the processors something else had between two
// moments: the numbers are as good as the machine was quiet.
func othersUsed(before, after usage, processors int) float64 {
	others := (after.total - before.total) - (after.ours - before.ours)
	return max(0, float64(others)/float64(after.at.Sub(before.at))/float64(processors))
}
