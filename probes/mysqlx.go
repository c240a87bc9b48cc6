package probes

import (
	"bytes"

	"herald/wire"
)

// MySQLX knows the X protocol of MySQL by its greeting, a notice without a client's asking.
// It says nothing: the next step would be to authenticate.
var MySQLX = add(mysqlx{})

type mysqlx struct{}

var mysqlxInfo = Info{
	Name:  "mysqlx",
	Title: "MySQL X protocol",
	Refs:  []string{"https://dev.mysql.com/doc/dev/mysql-server/latest/page_mysqlx_protocol.html"},
	Ports: []Port{{33060, wire.Plain}},
	Keys:  []Key{{"mysqlx.greeting", "first frame"}},
}

// mysqlxHello is Mysqlx.Notice.Frame{type: SERVER_HELLO, scope: GLOBAL, payload: ""}.
var mysqlxHello = []byte{5, 0, 0, 0, 11, 8, 5, 0x1a, 0}

func (mysqlx) Info() *Info { return &mysqlxInfo }

func (mysqlx) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, mysqlxHello) {
		return Sure
	}
	return Unlike
}

func (mysqlx) Converse(c *wire.Conversation, o *Observation) error {
	hello, err := c.ReadFull(len(mysqlxHello))
	if err != nil {
		return err
	}
	if !bytes.Equal(hello, mysqlxHello) {
		return c.Malformed("a server hello notice", hello)
	}
	o.Note("mysqlx.greeting", hello)
	o.Confirmed = true
	return nil
}
