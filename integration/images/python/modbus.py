from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server import StartTcpServer

StartTcpServer(
    context=ModbusServerContext(slaves=ModbusSlaveContext(), single=True),
    identity=ModbusDeviceIdentification(info_name={"VendorName": "Zoo", "ProductCode": "ZOO", "MajorMinorRevision": "1.0"}),
    address=("0.0.0.0", 502),
)
