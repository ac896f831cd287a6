package persist

import (
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"
)

// guardTime refuses times that RFC 3339 cannot say: its offsets have whole
// minutes and its years four digits.
func guardTime(v reflect.Value, _ int) error {
	t, ok := v.Interface().(time.Time)
	if !ok {
		return fmt.Errorf("value of type %v is not a time", v.Type())
	}
	_, offset := t.Zone()
	switch {
	case t.Year() < 0 || t.Year() > 9999:
		return fmt.Errorf("time %v has a year that RFC 3339 cannot say", t)
	case offset%60 != 0 || offset <= -24*3600 || offset >= 24*3600:
		return fmt.Errorf("time %v has an offset of %d s, which RFC 3339 cannot say", t, offset)
	}
	return nil
}

// guardTimeCBOR refuses also a zero time outside UTC: CBOR writes every zero
// time as null.
func guardTimeCBOR(v reflect.Value, depth int) error {
	if err := guardTime(v, depth); err != nil {
		return err
	}
	t, _ := v.Interface().(time.Time) // guardTime has looked
	if _, offset := t.Zone(); t.IsZero() && offset != 0 {
		return fmt.Errorf("zero time %v has an offset, which CBOR cannot carry", t)
	}
	return nil
}

// guardUTF8 refuses text that JSON would silently repair.
func guardUTF8(v reflect.Value, _ int) error {
	if !utf8.ValidString(v.String()) {
		return fmt.Errorf("text %.40q is not UTF-8, which JSON cannot carry", v.String())
	}
	return nil
}
