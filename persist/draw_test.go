package persist

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"time"

	"pgregory.net/rapid"
)

var (
	addrType = reflect.TypeFor[netip.Addr]()
	refType  = reflect.TypeFor[Ref[actorOf[int]]]()
)

// drawType draws a type that Define accepts.
func drawType(rt *rapid.T, codec Codec, depth int) reflect.Type {
	flat := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](),
		reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](),
		reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
		reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[5]byte](),
		reflect.TypeFor[time.Duration](), timeType, addrType, refType, reflect.TypeFor[*big.Int](),
	}
	if depth == 0 {
		return rapid.SampledFrom(flat).Draw(rt, "type")
	}
	below := func() reflect.Type { return drawType(rt, codec, depth-1) }
	switch rapid.IntRange(0, 6).Draw(rt, "shape") {
	case 0:
		return reflect.PointerTo(below())
	case 1:
		return reflect.SliceOf(below())
	case 2:
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(rt, "length"), below())
	case 3:
		keys := []reflect.Type{
			reflect.TypeFor[string](), reflect.TypeFor[int8](), reflect.TypeFor[int64](),
			reflect.TypeFor[uint64](), addrType, refType,
		}
		return reflect.MapOf(rapid.SampledFrom(keys).Draw(rt, "key"), below())
	case 4, 5:
		var fields []reflect.StructField
		for i := range rapid.IntRange(1, 4).Draw(rt, "fields") {
			tags := []string{"", fmt.Sprintf(`json:"n%d"`, i), fmt.Sprintf(`cbor:"%d,keyasint"`, i)}
			if i == 0 {
				tags = append(tags, `cbor:"é" json:"-,"`)
			} else {
				tags = append(tags, `json:"-"`)
			}
			tag := rapid.SampledFrom(tags).Draw(rt, "tag")
			fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: below(), Tag: reflect.StructTag(tag)})
		}
		return reflect.StructOf(fields)
	}
	return rapid.SampledFrom(flat).Draw(rt, "type")
}

// values draws values: clean ones, which a codec must accept, or any.
type values struct {
	codec string
	dirty bool
}

func (d values) fill(rt *rapid.T, v reflect.Value, depth int) {
	switch v.Type() {
	case timeType:
		v.Set(reflect.ValueOf(d.time(rt)))
		return
	case addrType:
		v.Set(reflect.ValueOf(drawAddr(rt)))
		return
	case refType:
		key := rapid.SampledFrom([]Key{"", "a", "a/b", "MEM://Host/x", "é/日本"}).Draw(rt, "key")
		if d.dirty && rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
			key = "../x"
		}
		v.Set(reflect.ValueOf(RefTo[actorOf[int]](key)))
		return
	case bigIntType:
		b := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(rt, "big")
		i := new(big.Int).SetBytes(b)
		if rapid.Bool().Draw(rt, "negative") {
			i.Neg(i)
		}
		v.Addr().Interface().(*big.Int).Set(i)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(rt, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(rt, "uint"))
	case reflect.Float32:
		v.SetFloat(d.float(rt, float64(rapid.Float32().Draw(rt, "float"))))
	case reflect.Float64:
		v.SetFloat(d.float(rt, rapid.Float64().Draw(rt, "float")))
	case reflect.String:
		v.SetString(d.text(rt))
	default:
		d.fillContainer(rt, v, depth)
	}
}

func (d values) fillContainer(rt *rapid.T, v reflect.Value, depth int) {
	n := rapid.IntRange(-1, 3).Draw(rt, "n") // -1 for nil
	switch v.Kind() {
	case reflect.Pointer:
		e := v.Type().Elem()
		if n < 0 {
			return
		}
		p := reflect.New(e)
		d.fill(rt, p.Elem(), depth-1)
		if !d.dirty && isNullFor(d.codec, p.Elem()) {
			return
		}
		v.Set(p)
	case reflect.Slice:
		if n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			d.fill(rt, v.Index(i), depth-1)
		}
	case reflect.Map:
		if n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for range n {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			d.fill(rt, key, depth-1)
			d.fill(rt, elem, depth-1)
			v.SetMapIndex(key, elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			d.fill(rt, v.Field(i), depth-1)
		}
	}
}

// isNullFor says whether a codec has only its null for what is behind a pointer.
func isNullFor(codec string, v reflect.Value) bool {
	if v.Type() == timeType {
		return codec == "cbor" && v.Interface().(time.Time).IsZero()
	}
	k := v.Kind()
	return (k == reflect.Pointer || k == reflect.Slice || k == reflect.Map) && v.IsNil()
}

func (d values) time(rt *rapid.T) time.Time {
	offset := rapid.IntRange(-23*60-59, 23*60+59).Draw(rt, "minutes") * 60
	year := rapid.IntRange(1, 9998).Draw(rt, "year")
	if d.dirty {
		offset += rapid.SampledFrom([]int{0, 0, 0, 1, -30, 24 * 3600}).Draw(rt, "seconds")
		year += rapid.SampledFrom([]int{0, 0, 0, 9000, -9000}).Draw(rt, "years")
	}
	loc := time.FixedZone("", offset)
	if rapid.Bool().Draw(rt, "utc") {
		loc = time.UTC
	}
	if rapid.IntRange(0, 9).Draw(rt, "zero") == 0 {
		if d.dirty {
			return time.Time{}.In(loc)
		}
		return time.Time{}
	}
	return time.Date(year, 1, rapid.IntRange(1, 365).Draw(rt, "day"), 1, 2, 3, rapid.IntRange(0, 999999999).Draw(rt, "ns"), loc)
}

func (d values) float(rt *rapid.T, f float64) float64 {
	if d.codec == "json" && !d.dirty {
		return f
	}
	odd := []float64{f, f, math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324}
	return rapid.SampledFrom(odd).Draw(rt, "odd float")
}

func (d values) text(rt *rapid.T) string {
	s := rapid.String().Draw(rt, "text")
	if (d.codec == "cbor" || d.dirty) && rapid.IntRange(0, 4).Draw(rt, "bytes") == 0 {
		s += string(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(rt, "raw"))
	}
	return s
}

func drawAddr(rt *rapid.T) netip.Addr {
	all := []string{"", "0.0.0.0", "1.2.3.4", "::", "::ffff:1.2.3.4", "fe80::1%eth0", "2001:db8::1"}
	a, err := netip.ParseAddr(rapid.SampledFrom(all).Draw(rt, "addr"))
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// differs compares what was saved with what came back and returns the first
// difference, "" where there is none. It is stricter than reflect.DeepEqual
// (negative zero, the offset of a time) and knows what an equal time, big
// integer and NaN are.
func differs(codec, path string, a, b reflect.Value) string {
	say := func() string { return fmt.Sprintf("%s: %+v became %+v", path, a, b) }
	switch a.Type() {
	case timeType:
		x, y := a.Interface().(time.Time), b.Interface().(time.Time)
		_, ox := x.Zone()
		if _, oy := y.Zone(); !x.Equal(y) || ox != oy {
			return say()
		}
		return ""
	case bigIntType:
		if a.Addr().Interface().(*big.Int).Cmp(b.Addr().Interface().(*big.Int)) != 0 {
			return say()
		}
		return ""
	case addrType, refType:
		if a.Interface() != b.Interface() {
			return say()
		}
		return ""
	}
	switch k := a.Kind(); k {
	case reflect.Float32, reflect.Float64:
		x, y := a.Float(), b.Float()
		if math.Float64bits(x) != math.Float64bits(y) && !(math.IsNaN(x) && math.IsNaN(y)) {
			return say()
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.IsNil() != b.IsNil() {
			return fmt.Sprintf("%s: nil %v became nil %v", path, a.IsNil(), b.IsNil())
		}
		if a.IsNil() {
			return ""
		}
		return differsIn(codec, path, a, b)
	case reflect.Array, reflect.Struct:
		return differsIn(codec, path, a, b)
	default:
		if !a.Equal(b) {
			return say()
		}
	}
	return ""
}

func differsIn(codec, path string, a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Pointer:
		return differs(codec, "*"+path, a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if f := a.Type().Field(i); isSaved(f, codec) {
				if d := differs(codec, path+"."+f.Name, a.Field(i), b.Field(i)); d != "" {
					return d
				}
			}
		}
		return ""
	}
	if a.Len() != b.Len() {
		return fmt.Sprintf("%s: %d elements became %d", path, a.Len(), b.Len())
	}
	if a.Kind() == reflect.Map {
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() {
				return fmt.Sprintf("%s: the key %v is gone", path, it.Key())
			}
			if d := differs(codec, fmt.Sprintf("%s[%v]", path, it.Key()), it.Value(), other); d != "" {
				return d
			}
		}
		return ""
	}
	for i := range a.Len() {
		if d := differs(codec, fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i)); d != "" {
			return d
		}
	}
	return ""
}
