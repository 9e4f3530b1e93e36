// Package archive writes tar archives that hold the same bytes whoever makes them,
// where and when: files in the order of their names, owned by root, of one time.
package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// File is one file of an archive.
type File struct {
	Name    string
	Content []byte
	// Executable files have the mode 0755, others 0644.
	Executable bool
}

// Tar writes an archive of files, all of one time.
func Tar(w io.Writer, files []File, at time.Time) error {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	out := tar.NewWriter(w)
	for _, file := range files {
		mode := int64(0o644)
		if file.Executable {
			mode = 0o755
		}
		err := out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: file.Name, Mode: mode, Size: int64(len(file.Content)), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatUSTAR,
		})
		if err != nil {
			return fmt.Errorf("add %s: %w", file.Name, err)
		}
		if _, err := out.Write(file.Content); err != nil {
			return fmt.Errorf("add %s: %w", file.Name, err)
		}
	}
	return out.Close()
}

// TarGz returns a compressed archive of files.
func TarGz(files []File, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	// The header of gzip stays empty: no name, no time.
	compressed := gzip.NewWriter(&out)
	if err := Tar(compressed, files, at); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

// Read returns the files below a folder, named from there with a prefix; skip says
// which files and folders are left out.
func Read(dir, prefix string, skip func(name string) bool) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && skip != nil && skip(entry.Name()) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file", path)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files = append(files, File{Name: prefix + filepath.ToSlash(name), Content: content})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", dir, err)
	}
	return files, nil
}
