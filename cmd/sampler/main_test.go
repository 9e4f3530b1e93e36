package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestDurationsOfServe(t *testing.T) {
	for name, tc := range map[string]struct {
		env, flag string
		want      time.Duration
		wantError string
	}{
		"nothing is said":         {want: 5 * time.Second},
		"a variable":              {env: "12s", want: 12 * time.Second},
		"a flag":                  {flag: "7s", want: 7 * time.Second},
		"a flag wins":             {env: "12s", flag: "7s", want: 7 * time.Second},
		"a variable in words":     {env: "soon", wantError: `SAMPLER_SETTLE_TIME="soon" is no duration: write one like 20s`},
		"a variable without unit": {env: "12", wantError: `SAMPLER_SETTLE_TIME="12" is no duration`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SAMPLER_SETTLE_TIME", tc.env)
			cmd := serveCommand()
			cmd.SetErr(io.Discard)
			if tc.flag != "" {
				if err := cmd.Flags().Set("settle-time", tc.flag); err != nil {
					t.Fatal(err)
				}
			}
			err := fromEnvironment(cmd)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("got error %v, want %q", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := cmd.Flags().GetDuration("settle-time"); err != nil || got != tc.want {
				t.Errorf("the time is %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}
