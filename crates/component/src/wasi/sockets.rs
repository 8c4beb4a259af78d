//! No sockets: TCP is refused by the empty context, UDP here, since wasmtime's own function enters
//! a tokio runtime before it looks.

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::{
    p2::{
        SocketError, SocketResult, UdpSocket,
        bindings::{
            sockets::network::{self, ErrorCode, IpAddressFamily},
            sync::sockets::udp_create_socket,
        },
    },
    sockets::WasiSocketsCtxView,
};

/// Refuses to make UDP sockets.
pub(super) struct NoUdp<'a>(pub(super) WasiSocketsCtxView<'a>);

/// That there are no UDP sockets.
pub(super) struct Denied;

impl HasData for Denied {
    type Data<'a> = NoUdp<'a>;
}

impl udp_create_socket::Host for NoUdp<'_> {
    fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        Err(ErrorCode::AccessDenied.into())
    }
}

impl network::Host for NoUdp<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.0.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.0.network_error_code(error)
    }
}

impl network::HostNetwork for NoUdp<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0, network)
    }
}
