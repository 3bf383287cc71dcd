//! RTSP inside TLS: what comes in is decrypted and handed to the RTSP server, what goes out is encrypted.
//!
//! The certificate is the one of the other ports, and is read again when its files change. The RTSP server has a socket
//! of this machine in its hands, and is told whose it is. It lets nothing flow beside the connection: over UDP everybody
//! on the way could see it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::tls::Certificate;
use crate::command::{Gateway, Places};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The port.
pub(super) struct Rtsps {
    pub(super) certificate: Certificate,
    pub(super) places: Places,
    pub(super) gateway: Arc<Gateway>,
    pub(super) stopping: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Rtsps {
    /// Accepts connections until told to stop and serves each in a task of its own.
    pub(super) async fn open(self, listener: TcpListener) {
        let this = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = this.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "RTSPS cannot accept connections, trying again in a second");
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            // Counted where it is refused; a client of TLS would not understand a word about it.
            let Ok(place) = this.places.take(Some(peer.ip())) else { continue };
            let own = Arc::clone(&this);
            this.tasks.spawn(async move {
                let _place = place;
                tokio::select! {
                    ended = own.serve(stream, peer) => {
                        if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "RTSPS connection ended");
                        }
                    }
                    () = own.stopping.cancelled() => {}
                }
            });
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut outer = timeout(HANDSHAKE, self.certificate.acceptor().accept(stream)).await??;
        let (mut inner, handed) = pair().await?;
        let handed = handed.into_std()?;
        handed.set_nonblocking(false)?;
        self.gateway.paths.rtsp().adopt(handed, peer);
        copy_bidirectional(&mut outer, &mut inner).await.map(drop)
    }
}

/// Two ends of one connection within this machine. Nobody else's: who connects in between is turned away.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (one, own) = {
        let one = TcpStream::connect(listener.local_addr()?).await?;
        let own = one.local_addr()?;
        (one, own)
    };
    loop {
        let (other, peer) = listener.accept().await?;
        if peer == own {
            one.set_nodelay(true)?;
            return Ok((one, other));
        }
    }
}
