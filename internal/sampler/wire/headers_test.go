package wire

import "testing"

func TestDecodeHeader(t *testing.T) {
	for name, tc := range map[string]struct {
		value, want string
		wantErr     bool
	}{
		"plain":                {value: "echo", want: "echo"},
		"base64":               {value: "=?base64?ZmlsZTovLy/DpA==?=", want: "file:///ä"},
		"empty in base64":      {value: "=?base64??=", want: ""},
		"a prefix and no end":  {value: "=?base64?ZWNobw==", want: "=?base64?ZWNobw=="},
		"what is not base64":   {value: "=?base64?ZWN!?=", wantErr: true},
		"an end and no prefix": {value: "echo?=", want: "echo?="},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeHeader(tc.value)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
