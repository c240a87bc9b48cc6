import tornado.ioloop
import tornado.web

tornado.web.Application([]).listen(8003)
tornado.ioloop.IOLoop.current().start()
