//! The ways in which a run leaves the origin of the given URL, or stays at it.

use super::net::{ABOVE, BELOW, BESIDE, DOTTED, ELSEWHERE, HOME, Net, PLAIN, PORT, host};
use crate::common::Place;
use downhaul_testkit::minisign::Signer;
use downhaul_testkit::{content, sha256};

macro_rules! ways {
    ($($way:ident)*) => {
        /// A way on which a secret could get to another server.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Way { $($way,)* }

        impl Way {
            pub const ALL: &'static [Way] = &[$(Way::$way,)*];
        }
    };
}

ways! {
    Given
    GivenInUpperCase
    RedirectBack
    RetryAfter503
    RetryAfterCut
    SeveralConnections
    ChecksumListBeside
    SignatureBeside
    RedirectToHttp
    RedirectFromHttp
    RedirectToPort
    RedirectToNameBelow
    RedirectToNameAbove
    RedirectToNameBeside
    RedirectToDotted
    RedirectElsewhere
    RedirectWithUserinfo
    RetryBehindRedirect
    SeveralConnectionsBehindRedirect
    ResumedBehindRedirect
    ChecksumListBehindRedirect
    ChecksumListByUrl
    MirrorOfPerson
    SecondFileOfPerson
    MirrorOfServer
    MetalinkOfServer
    MetalinkByUrl
    MetalinkOnDisk
    ListByUrl
}

/// One run on a way.
pub struct Trip<'a> {
    pub net: &'a Net,
    pub place: &'a Place,
    /// A number that no other run with the same servers has. Servers count requests by path.
    pub number: usize,
    /// User name and password for the given URL, with `@`, or nothing.
    pub userinfo: &'a str,
    /// A parameter for the query of the given URL.
    pub token: &'a str,
    /// True if the servers of [`Trip::file`] require a login and accept none.
    pub asks: bool,
}

impl Way {
    /// Returns the origin that this way leads to. The table in `secrets.rs` says which secrets the server of
    /// this origin receives.
    pub fn leads_to(self) -> &'static str {
        match self {
            Way::Given
            | Way::GivenInUpperCase
            | Way::RedirectBack
            | Way::RetryAfter503
            | Way::RetryAfterCut
            | Way::SeveralConnections
            | Way::ChecksumListBeside
            | Way::SignatureBeside
            | Way::RedirectFromHttp => HOME,
            Way::RedirectToHttp => PLAIN,
            Way::RedirectToPort => PORT,
            Way::RedirectToNameBelow => BELOW,
            Way::RedirectToNameAbove => ABOVE,
            Way::RedirectToNameBeside => BESIDE,
            Way::RedirectToDotted => DOTTED,
            Way::RedirectElsewhere
            | Way::RedirectWithUserinfo
            | Way::RetryBehindRedirect
            | Way::SeveralConnectionsBehindRedirect
            | Way::ResumedBehindRedirect
            | Way::ChecksumListBehindRedirect
            | Way::ChecksumListByUrl
            | Way::MirrorOfPerson
            | Way::SecondFileOfPerson
            | Way::MirrorOfServer
            | Way::MetalinkOfServer
            | Way::MetalinkByUrl
            | Way::MetalinkOnDisk
            | Way::ListByUrl => ELSEWHERE,
        }
    }

    /// Returns the origin of the given URL.
    pub fn home(self) -> &'static str {
        if self == Way::RedirectFromHttp { PLAIN } else { HOME }
    }

    /// Returns true if every request to the server must carry what the table says, and not only one of them.
    pub fn is_all_alike(self) -> bool {
        matches!(
            self,
            Way::Given
                | Way::GivenInUpperCase
                | Way::RetryAfter503
                | Way::RetryAfterCut
                | Way::SeveralConnections
        )
    }

    /// Returns the least number of requests to the server that this way leads to. With fewer requests, the
    /// run did not take this way.
    pub fn least_requests(self) -> usize {
        match self {
            Way::RedirectBack
            | Way::RetryAfter503
            | Way::RetryAfterCut
            | Way::SeveralConnections
            | Way::RetryBehindRedirect
            | Way::SeveralConnectionsBehindRedirect
            | Way::ResumedBehindRedirect => 2,
            _ => 1,
        }
    }

    /// Returns true if a URL of [`HOME`] cannot be given beside the other URLs of the run, because those are
    /// in a list, or because the given URL is not of [`HOME`].
    pub fn stands_alone(self) -> bool {
        let has_list = self == Way::MirrorOfPerson || self.only_a_document_names_the_target();
        has_list || self.home() != HOME
    }

    /// Returns true if only a document that the user gave (a Metalink file or a fetched list) names the
    /// server that this way leads to.
    pub fn only_a_document_names_the_target(self) -> bool {
        matches!(self, Way::MetalinkByUrl | Way::MetalinkOnDisk | Way::ListByUrl)
    }

    /// Returns the number of runs.
    pub fn runs(self) -> usize {
        if self == Way::ResumedBehindRedirect { 2 } else { 1 }
    }

    /// Prepares the servers and the folder, and returns the arguments.
    // This function is long because it is a list of cases.
    pub fn arguments(self, trip: &Trip) -> Vec<String> {
        let n = trip.number;
        let small = trip.home(&format!("well_behaved/1000/f{n}"));
        match self {
            Way::Given => vec![small],
            Way::GivenInUpperCase => {
                vec![small.replace("https://", "HTTPS://").replace(host(HOME), &host(HOME).to_uppercase())]
            }
            Way::RedirectBack => {
                let back = format!("{HOME}/well_behaved/1000/f{n}");
                vec![trip.redirect(&format!("{ELSEWHERE}/redirect/1/f{n}?to={}", encoded(&back)))]
            }
            Way::RetryAfter503 => vec![trip.home(&format!("fails_once/1000/f{n}?status=503"))],
            Way::RetryAfterCut => vec![trip.home(&format!("truncated_body/100000/f{n}"))],
            Way::SeveralConnections => vec![trip.home(LARGE)],
            Way::ChecksumListBeside => vec![small, "--verify".into(), "find".into()],
            Way::SignatureBeside => vec![small, "--signed-by".into(), Signer::new(1).key()],
            Way::RedirectToHttp => vec![trip.redirect(&trip.file(PLAIN)), "--allow-downgrade".into()],
            Way::RedirectFromHttp => {
                let url = trip.redirect(&trip.file(HOME)).replace("https://", "http://");
                vec![url]
            }
            Way::RedirectToPort
            | Way::RedirectToNameBelow
            | Way::RedirectToNameAbove
            | Way::RedirectToNameBeside
            | Way::RedirectToDotted
            | Way::RedirectElsewhere => vec![trip.redirect(&trip.file(self.leads_to()))],
            Way::RedirectWithUserinfo => {
                vec![trip.redirect(&trip.file(ELSEWHERE).replace("://", "://eve:evil@"))]
            }
            Way::RetryBehindRedirect => {
                vec![trip.redirect(&format!("{ELSEWHERE}/fails_once/1000/f{n}?status=503"))]
            }
            Way::SeveralConnectionsBehindRedirect => {
                vec![trip.redirect(&format!("{ELSEWHERE}/{LARGE}"))]
            }
            Way::ResumedBehindRedirect => {
                vec![
                    trip.redirect(&format!("{ELSEWHERE}/truncated_body/3000000/f{n}")),
                    "--retries".into(),
                    "0".into(),
                ]
            }
            Way::ChecksumListBehindRedirect => {
                let list = format!("{ELSEWHERE}/well_behaved/1/SHA256SUMS");
                let beside = format!("/redirect/1/x?to={}", encoded(&list));
                trip.net.server(HOME).becomes("/well_behaved/1000/SHA256SUMS", &beside);
                vec![small, "--verify".into(), "find".into()]
            }
            Way::ChecksumListByUrl => {
                let list = format!("{}  f{n}\n", sha256(&content(&format!("f{n}"), 1000)));
                trip.net.server(ELSEWHERE).put("/l/SHA256SUMS", list);
                vec![small, "--checksum-file".into(), format!("{ELSEWHERE}/l/SHA256SUMS")]
            }
            Way::MirrorOfPerson => {
                let missing = trip.home(&format!("status/1000/f{n}?status=404"));
                let list = format!("{missing}\t{}  f{n}\n", trip.file(ELSEWHERE));
                trip.place.write("list", list);
                vec!["-i".into(), "list".into()]
            }
            Way::SecondFileOfPerson => vec![small, format!("{ELSEWHERE}/well_behaved/1000/g{n}")],
            Way::MirrorOfServer => {
                trip.offer(&format!("<{ELSEWHERE}/capped/12000000/large?rate=2000000>; rel=duplicate"))
            }
            Way::MetalinkOfServer => {
                let at = trip.metalink(ELSEWHERE);
                trip.offer(&format!("<{at}>; rel=describedby; type=\"application/metalink4+xml\""))
            }
            Way::MetalinkByUrl => {
                trip.metalink(HOME);
                vec!["-i".into(), trip.home(&format!("d/{n}.meta4"))]
            }
            Way::MetalinkOnDisk => {
                trip.place.write("d.meta4", trip.metalink_text());
                vec!["-i".into(), "d.meta4".into()]
            }
            Way::ListByUrl => {
                trip.net.server(HOME).put(&format!("/d/{n}.txt"), trip.file(ELSEWHERE) + "\n");
                vec!["-i".into(), trip.home(&format!("d/{n}.txt"))]
            }
        }
    }
}

/// The path and query of a file that is large enough for several connections.
const LARGE: &str = "capped/12000000/large?rate=2000000";

/// Returns a text as a value in a query.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Trip<'_> {
    /// Returns the URL that the user gives, with the user name and the password, and with the token.
    fn home(&self, target: &str) -> String {
        let also = if target.contains('?') { '&' } else { '?' };
        format!("https://{}{}/{target}{also}{}", self.userinfo, host(HOME), self.token)
    }

    fn redirect(&self, to: &str) -> String {
        self.home(&format!("redirect/1/f{}?to={}", self.number, encoded(to)))
    }

    /// Returns the URL of a file on this origin. If `asks` is true, the server requires a login.
    fn file(&self, origin: &str) -> String {
        let n = self.number;
        match self.asks {
            false => format!("{origin}/well_behaved/1000/f{n}"),
            true => {
                let asks = encoded("WWW-Authenticate: Basic realm=\"x\"");
                format!("{origin}/status/1000/f{n}?status=401&header={asks}")
            }
        }
    }

    /// Returns the arguments for a large file whose server offers this link.
    fn offer(&self, link: &str) -> Vec<String> {
        let target = format!("capped/12000000/large?rate=2000000&sha256=1&link={}", encoded(link));
        [&self.home(&target), "--mirrors", "auto"].map(String::from).to_vec()
    }

    /// Puts a Metalink document that names [`ELSEWHERE`] on a server, and returns the URL of the document.
    fn metalink(&self, origin: &str) -> String {
        let path = format!("d/{}.meta4", self.number);
        self.net.server(origin).put(&format!("/{path}"), self.metalink_text());
        format!("{origin}/{path}")
    }

    fn metalink_text(&self) -> String {
        let name = format!("f{}", self.number);
        let (hash, url) = (sha256(&content(&name, 1000)), self.file(ELSEWHERE).replace('&', "&amp;"));
        format!(
            "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='{name}'><size>1000</size>\
             <hash type='sha-256'>{hash}</hash><url>{url}</url></file></metalink>"
        )
    }
}
