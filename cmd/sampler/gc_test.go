package main

import (
	"runtime/debug"
	"testing"
)

func TestGCOfServe(t *testing.T) {
	for name, tc := range map[string]struct {
		env  string
		want int
	}{
		"nothing is said": {want: 200},
		// The runtime has read it by itself.
		"a variable says": {env: "150", want: 150},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tc.env)
			before := debug.SetGCPercent(150)
			tuneGC()
			if got := debug.SetGCPercent(before); got != tc.want {
				t.Errorf("a collection at %d %%, want %d", got, tc.want)
			}
		})
	}
}
