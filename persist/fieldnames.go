package persist

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// names refuses two fields that would be written under one name: encoders drop
// one or both of such fields without a word.
func (ins *inspector) names(t reflect.Type, path string, seen map[string]string, around map[reflect.Type]bool) error {
	around[t] = true
	defer delete(around, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if !isSaved(f, ins.codec) {
			continue
		}
		name, tagged := fieldName(f, ins.codec)
		inner := indirect(f.Type)
		if f.Anonymous && !tagged && inner.Kind() == reflect.Struct && !ins.isLeaf(inner, true) {
			if around[inner] {
				return fmt.Errorf("%w: %s.%s: a type that embeds itself cannot come back", ErrBadKind, path, f.Name)
			}
			if err := ins.names(inner, path+"."+f.Name, seen, around); err != nil {
				return err
			}
			continue
		}
		if other, dup := seen[name]; dup {
			return fmt.Errorf("%w: %s.%s: it would be written under the same name %q as %s", ErrBadKind, path, f.Name, name, other)
		}
		seen[name] = path + "." + f.Name
	}
	return nil
}

// isSaved says whether f is part of the snapshot: exported, or an embedded
// struct that has exported fields, which are promoted, and not tagged "-".
func isSaved(f reflect.StructField, codec string) bool {
	if fieldTag(f, codec) == "-" {
		return false
	}
	if f.IsExported() {
		return true
	}
	return f.Anonymous && exports(indirect(f.Type), codec, map[reflect.Type]bool{})
}

// exports says whether an embedded struct has anything to be saved.
func exports(t reflect.Type, codec string, seen map[reflect.Type]bool) bool {
	if t.Kind() != reflect.Struct || seen[t] {
		return false
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if fieldTag(f, codec) == "-" {
			continue
		}
		if f.IsExported() || f.Anonymous && exports(indirect(f.Type), codec, seen) {
			return true
		}
	}
	return false
}

// fieldTag returns the tag that the codec reads: its own, else that of JSON, as
// fxamacker/cbor does.
func fieldTag(f reflect.StructField, codec string) string {
	if tag := f.Tag.Get(codec); tag != "" {
		return tag
	}
	return f.Tag.Get("json")
}

// isJSONName is the rule of encoding/json for names in tags.
func isJSONName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

func fieldName(f reflect.StructField, codec string) (name string, tagged bool) {
	name, _, _ = strings.Cut(fieldTag(f, codec), ",")
	if name == "" {
		return f.Name, false
	}
	return name, true
}

// savedFields lists the fields that a restore sets, embedded structs opened up,
// so that what a constructor put into their unexported fields survives.
func (ins *inspector) savedFields(t reflect.Type) [][]int {
	var paths [][]int
	for i := range t.NumField() {
		f := t.Field(i)
		if !isSaved(f, ins.codec) {
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct && !ins.isLeaf(f.Type, true) {
			for _, p := range ins.savedFields(f.Type) {
				paths = append(paths, append([]int{i}, p...))
			}
			continue
		}
		paths = append(paths, []int{i})
	}
	return paths
}
