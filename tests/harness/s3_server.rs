//! An S3 server on this machine, over HTTP: s3s over a folder, with conditional writes as atomic as S3's.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Method;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The name of its one bucket.
pub const BUCKET: &str = "bucket";

const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl S3Server {
    /// Serves the objects in `folder`.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder.join(BUCKET))?;
        let files = FileSystem::new(folder).map_err(|e| io::Error::other(format!("{e:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let root = folder.to_path_buf();
        let accepting = tokio::spawn(async move {
            let writes = Arc::new(Mutex::new(()));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, root.clone(), service.clone(), Arc::clone(&writes)));
            }
        });
        Ok(Self { address, accepting })
    }

    /// Options of an `object_store` that talks to it, also as environment variables in upper case.
    pub fn options(&self) -> Vec<(String, String)> {
        [
            ("aws_endpoint", format!("http://{}", self.address)),
            ("aws_allow_http", "true".to_string()),
            ("aws_region", "us-east-1".to_string()),
            ("aws_access_key_id", ACCESS_KEY.to_string()),
            ("aws_secret_access_key", SECRET_KEY.to_string()),
        ]
        .map(|(key, value)| (key.to_string(), value))
        .to_vec()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one connection. The storage below looks whether an object exists and then writes it: of two conditional writes
/// at once both could win. S3 does this in one step, so here writes go one after the other. It also takes a folder that
/// is there for the objects below it for an object; S3 has no such thing.
async fn serve(stream: TcpStream, root: PathBuf, service: S3Service, writes: Arc<Mutex<()>>) {
    let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (service, writes) = (service.clone(), Arc::clone(&writes));
        let names_folder = root.join(request.uri().path().trim_start_matches('/')).is_dir();
        async move {
            if *request.method() == Method::HEAD && names_folder {
                let mut missing = hyper::Response::new(s3s::Body::empty());
                *missing.status_mut() = hyper::StatusCode::NOT_FOUND;
                return Ok(missing);
            }
            let is_write = matches!(*request.method(), Method::PUT | Method::POST | Method::DELETE);
            let turn = if is_write { Some(writes.lock().await) } else { None };
            let response = service.call(request.map(s3s::Body::from)).await;
            drop(turn);
            response
        }
    });
    // A client that goes away ends its connection; that is no failure of a test.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await);
}
