//! The types of the less common options of [`Settings`](crate::Settings) and [`Job`](crate::Job), such as
//! logins, proxies and the rules for names. The types of the common options are at the root of the crate.
//!
//! ```
//! use downhaul_engine::Settings;
//! use downhaul_engine::options::{Login, Proxies, Proxy, Secret};
//!
//! let proxy = Proxy::parse("http://proxy.example:3128")?;
//! let settings = Settings::default()
//!     .with_user(Some(Login { user: "ann".into(), password: Secret::new("secret") }))
//!     .with_proxies(Proxies { https: Some(proxy), ..Proxies::default() })
//!     .with_headers([("Accept", "text/csv")].into_iter().collect());
//! # Ok::<_, String>(())
//! ```

pub use downhaul_core::credentials::challenge::Schemes;
pub use downhaul_core::credentials::cookies::Cookies;
pub use downhaul_core::credentials::netrc::Netrc;
pub use downhaul_core::dedup::Dedup;
pub use downhaul_core::digest::Expected;
pub use downhaul_core::event::Kept;
pub use downhaul_core::host_rules::{HostOptions, HostPattern, HostRules};
pub use downhaul_core::identity::Key;
pub use downhaul_core::job::{Body, ByteRange, ChunkHashes, Headers, NamedBy, Sends};
pub use downhaul_core::name::{Folders, NameSource, Naming, NumberForm, Template};
pub use downhaul_core::names::{ConnectTo, DohServer, Interface, Resolve};
pub use downhaul_core::preview::Preview;
pub use downhaul_core::proxy::{NoProxy, Proxies, Proxy};
pub use downhaul_core::run_limits::{Reached, RunLimits};
pub use downhaul_core::secret::{Login, Secret};
pub use downhaul_core::settings::{Attributes, ChecksumList, Family, Sync, TlsVersion};
pub use downhaul_core::signature::Keys;
