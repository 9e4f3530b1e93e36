package config

import (
	"fmt"
	"time"
)

// MarshalText writes the duration as Go does ("1m0s").
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads what time.ParseDuration reads ("60s", "1m30s").
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write it like \"60s\" or \"1m30s\"", text)
	}
	*d = Duration(v)
	return nil
}

// String is the text that is written to files.
func (d Duration) String() string { return time.Duration(d).String() }
