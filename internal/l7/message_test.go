package l7

import (
	"reflect"
	"testing"
)

// full is a message with something in every field.
func full(t *testing.T) Message {
	m := Message{As: &Protocol{}, Head: &HeadID{}, Attrs: []Attr{{Key: "k", Str: "v"}}, Text: new(Text)}
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Uint8, reflect.Uint64:
				f.SetUint(uint64(i) + 1)
			case reflect.String:
				f.SetString(v.Type().Field(i).Name)
			case reflect.Struct:
				fill(f)
			case reflect.Pointer, reflect.Slice:
				if f.IsNil() {
					t.Fatalf("%s is new here: Reset, Set and this test have to know it", v.Type().Field(i).Name)
				}
			default:
				t.Fatalf("%s is of a new kind", v.Type().Field(i).Name)
			}
		}
	}
	fill(reflect.ValueOf(&m).Elem())
	return m
}

func TestMessageFields(t *testing.T) {
	from := full(t)
	var to Message
	to.Set(&from)
	if !reflect.DeepEqual(to, from) {
		t.Errorf("Set: %+v\nwant %+v", to, from)
	}
	if &to.Attrs[0] == &from.Attrs[0] {
		t.Error("Set shares attributes")
	}
	text := to.Text
	to.Reset()
	if to.Text != text || cap(to.Attrs) == 0 || len(to.Attrs) != 0 {
		t.Error("Reset keeps Text and the memory of Attrs")
	}
	to.Text, to.Attrs = nil, nil
	if !reflect.DeepEqual(to, Message{}) {
		t.Errorf("Reset leaves %+v", to)
	}
}
