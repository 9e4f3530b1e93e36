package archive

import (
	"bytes"
	"testing"
	"time"
)

func TestTarGzIsTheSameForTheSameFiles(t *testing.T) {
	a, b := File{Name: "a", Content: []byte("1")}, File{Name: "b/c", Content: []byte("2"), Executable: true}
	at := time.Unix(1_700_000_000, 0)
	first, err := TarGz([]File{a, b}, at)
	if err != nil {
		t.Fatal(err)
	}
	second, err := TarGz([]File{b, a}, at.Add(time.Millisecond).In(time.FixedZone("elsewhere", 3600)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the order of files, the zone or fractions of the time show")
	}
	third, err := TarGz([]File{a, b}, at.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, third) {
		t.Error("the time does not show")
	}
}
