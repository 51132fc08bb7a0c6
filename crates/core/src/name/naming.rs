//! Chooses the name of a file if neither the user nor a list gave its name (`--names`, `--folders`,
//! `--name-template` and `--windows-names`).
//!
//! Invariant: the result depends only on the options, the job, the URL of the response and the server's
//! Content-Disposition. It never depends on other downloads or on the order of responses.

use super::{NumberForm, SafeName, Template};
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job};
use crate::remote::Remote;
use crate::show;
use std::sync::Arc;
use url::Url;

/// The rules by which files get their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Says where a name comes from, if neither a list nor the user gave a name.
    pub source: NameSource,
    /// Says which folders of the URL become folders below the output folder.
    pub folders: Folders,
    /// True if Windows must accept all names below the output folder (`--windows-names`). On Windows, a
    /// session always sets this field.
    pub windows: bool,
    /// The template of names, which is used instead of `folders` (`--name-template`).
    pub template: Option<Arc<Template>>,
    /// The form of the number in the name of a file whose own name is in use already.
    pub numbers: NumberForm,
}

/// Says where a name comes from (`--names`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// The name comes from the server's Content-Disposition, or from the URL of the response, or from the
    /// first URL of the job. The first of these three that has a name is used. If none of them has a name,
    /// the name is `index.html`.
    Auto,
    /// The name comes from the first URL of the job, or is `index.html` if that URL has no name. The server
    /// cannot change the name.
    Url,
    /// The name comes from the server's Content-Disposition, or else from the URL of the response. If neither
    /// of them has a name, the name is `index.html`.
    Server,
}

/// Says which folders in the path of the URL become folders below the output folder (`--folders`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folders {
    /// The last folders, up to this number.
    Last(usize),
    /// All folders.
    All,
    /// All folders, below a folder named after the host.
    Host,
}

impl Default for Naming {
    fn default() -> Naming {
        Naming {
            source: NameSource::Auto,
            folders: Folders::Last(0),
            windows: cfg!(windows),
            template: None,
            numbers: NumberForm::default(),
        }
    }
}

impl Naming {
    /// Returns the name of a job's file below the output folder. If a list or the user gave a name, returns
    /// this name ([`Naming::given`]). Otherwise, the name follows from the response, which `remote`
    /// describes. If no response has arrived, the name is [`Job::url_name`], or is made from the URL if that
    /// field is `None`. Returns `None` if the job has no URL, if the user gave a path, or if the file goes to
    /// standard output, to a pipe or to a writer of a program.
    pub fn name_for(&self, spec: &Job, remote: Option<&Remote>) -> Option<SafeName> {
        let given = spec.urls.first()?;
        match (&spec.destination, remote) {
            (
                Destination::Path(_) | Destination::Stdout | Destination::Stream(_) | Destination::Writer(_),
                _,
            ) => None,
            (Destination::Name(name), _) => Some(self.given(name)),
            (Destination::Server, None) => match &spec.url_name {
                Some(name) => Some(self.given(name)),
                None => self.name_of_url(spec),
            },
            (Destination::Server, Some(remote)) => {
                let name = self.by_response(spec, given, &remote.url, remote.name.as_ref());
                Some(self.in_folders_of(spec, given, name))
            }
        }
    }

    /// Returns the name that the first URL of a job gives to its file, below the output folder. Returns
    /// `None` if the job has no URL.
    pub fn name_of_url(&self, spec: &Job) -> Option<SafeName> {
        let given = spec.urls.first()?;
        Some(self.in_folders_of(spec, given, self.by_url(spec, given)))
    }

    /// Applies the template to a job of a list. If the list gives the file a name, the job gets the name that
    /// the template makes from this name, unless the list is one of `--failed` ([`Job::is_left_over`]). If
    /// the list gives no name, this function only checks that the template can be used, because the final
    /// name is not known yet.
    ///
    /// # Errors
    /// Returns `name.unsafe` if the template cannot make a name for the job, for example because the job
    /// lacks a value.
    pub fn apply(&self, mut job: Box<Job>) -> Result<Box<Job>, Error> {
        let (Some(template), Some(url)) = (&self.template, job.urls.first()) else { return Ok(job) };
        let unusable = |why| {
            Error::new(
                ErrorKind::NameUnsafe,
                show::url(url),
                format!("--name-template cannot be used: {why}"),
            )
        };
        match &job.destination {
            Destination::Server => {
                template.name(&job, &SafeName::from_url(url)).map_err(unusable)?;
                Ok(job)
            }
            Destination::Name(_) if job.is_left_over => Ok(job),
            Destination::Name(name) => {
                job.destination = Destination::Name(template.name(&job, name).map_err(unusable)?);
                Ok(job)
            }
            Destination::Path(_) | Destination::Stdout | Destination::Stream(_) | Destination::Writer(_) => {
                Ok(job)
            }
        }
    }

    /// Puts the folder of a job before the name of its file. If a folder of the resulting path got a number
    /// in an earlier run ([`Job::url_name`]), the folder gets the same number again.
    fn in_folders_of(&self, spec: &Job, given: &Url, name: SafeName) -> SafeName {
        let name = self.in_folder_of(spec, name);
        match &spec.url_name {
            Some(earlier) => {
                let plain = self.in_folder_of(spec, self.by_url(spec, given));
                name.with_folders_of(&self.given(earlier), &plain)
            }
            None => name,
        }
    }

    /// Puts the folder of a job before the name of its file.
    fn in_folder_of(&self, spec: &Job, name: SafeName) -> SafeName {
        match &spec.folder {
            Some(folder) => name.below(&[self.given(folder)]),
            None => name,
        }
    }

    /// Returns the name that the first URL of the job (`given`) gives to its file. No response is needed.
    fn by_url(&self, job: &Job, given: &Url) -> SafeName {
        self.placed(job, given, SafeName::from_url(given))
    }

    /// Returns the name of a file whose response is known. `given` is the first URL of the job, `answered` is
    /// the URL after redirects, and `stated` is the name in the Content-Disposition.
    fn by_response(&self, job: &Job, given: &Url, answered: &Url, stated: Option<&SafeName>) -> SafeName {
        let answered = || SafeName::of_last_segment(answered);
        let file = match self.source {
            NameSource::Url => None,
            NameSource::Auto => stated.cloned().or_else(answered),
            NameSource::Server => stated.cloned().or_else(answered).or_else(|| Some(SafeName::index())),
        };
        self.placed(job, given, file.unwrap_or_else(|| SafeName::from_url(given)))
    }

    /// Returns `name`. If `windows` is set, the name is changed so that Windows accepts it.
    pub fn given(&self, name: &SafeName) -> SafeName {
        if self.windows { name.for_windows() } else { name.clone() }
    }

    /// Returns the name of a file with its folders. If there is a template, it makes this name. Otherwise,
    /// folders of the URL are put before `file` ([`Naming::below`]).
    fn placed(&self, job: &Job, url: &Url, file: SafeName) -> SafeName {
        match &self.template {
            // [`Naming::apply`] has refused each job of a list for which the template cannot make a name.
            Some(template) => self.given(&template.name(job, &file).unwrap_or(file)),
            None => self.below(url, file),
        }
    }

    /// Puts folders of a URL before the name of a file. [`Naming::folders`] says which folders these are.
    /// `url` is the first URL of the job, and never the target of a redirect, because the user knows only the
    /// first URL.
    fn below(&self, url: &Url, file: SafeName) -> SafeName {
        if self.folders == Folders::Last(0) {
            return self.given(&file);
        }
        let mut folders: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
        folders.pop();
        let folders = folders.into_iter().filter_map(|segment| SafeName::from_segment(url, segment));
        let mut folders: Vec<SafeName> = folders.collect();
        match self.folders {
            Folders::Last(most) => drop(folders.drain(..folders.len().saturating_sub(most))),
            Folders::All => {}
            Folders::Host => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let host = SafeName::from_server(&format!("{}{port}", url.host_str().unwrap_or_default()));
                folders.splice(0..0, host);
            }
        }
        self.given(&file.below(&folders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn by_url(naming: &Naming, text: &str) -> String {
        naming.name_for(&Job::new(url(text)), None).expect("a name").to_string()
    }

    #[test]
    fn the_option_names_decides_where_names_come_from() {
        let given = url("http://h/d/given.bin?x=1");
        let (other, none) = (url("http://cdn/blob/answered"), url("http://cdn/?id=1"));
        let stated = SafeName::from_server("stated.bin");
        for (source, answered, stated, expected) in [
            (NameSource::Auto, &other, stated.as_ref(), "stated.bin"),
            (NameSource::Auto, &other, None, "answered"),
            (NameSource::Auto, &none, None, "given.bin"),
            (NameSource::Url, &other, stated.as_ref(), "given.bin"),
            (NameSource::Server, &other, stated.as_ref(), "stated.bin"),
            (NameSource::Server, &other, None, "answered"),
            (NameSource::Server, &none, None, "index.html"),
        ] {
            let naming = Naming { source, ..Naming::default() };
            assert_eq!(
                naming.by_response(&Job::new(given.clone()), &given, answered, stated).as_str(),
                expected,
                "{source:?} {answered}"
            );
        }
    }

    #[test]
    fn a_folder_that_got_a_number_in_an_earlier_run_keeps_it() {
        let naming = Naming { folders: Folders::All, ..Naming::default() };
        for (folder, earlier, answered, by_url, by_response) in [
            (None, "a (1)/n/m", "http://h/x/o", "a (1)/n/m", "a (1)/n/o"),
            (None, "a/n (1)/m (2)", "http://h/x/o", "a/n (1)/m", "a/n (1)/o"),
            (Some("d"), "d/a/n (1)/m", "http://h/?x", "d/a/n (1)/m", "d/a/n (1)/m"),
            (None, "m (1)", "http://h/x/o", "a/n/m", "a/n/o"),
        ] {
            let job = Job {
                folder: folder.and_then(SafeName::from_server),
                url_name: SafeName::from_person(earlier).ok(),
                ..Job::new(url("http://h/a/n/m"))
            };
            let remote = Remote::whole(url(answered));
            let of_url = naming.name_of_url(&job).map(|name| name.to_string());
            let of_response = naming.name_for(&job, Some(&remote)).map(|name| name.to_string());
            assert_eq!((of_url.as_deref(), of_response.as_deref()), (Some(by_url), Some(by_response)));
        }
    }

    #[test]
    fn folders_of_the_url_are_kept_below_the_output_folder() {
        for (text, folders, expected) in [
            ("http://h/a/b/c/f", Folders::Last(0), "f"),
            ("http://h/a/b/c/f", Folders::Last(2), "b/c/f"),
            ("http://h/a/b/c/f", Folders::Last(9), "a/b/c/f"),
            ("http://h/a/b/", Folders::All, "a/b/index.html"),
            ("http://h/a//.hidden/b/f", Folders::All, "a/_hidden/b/f"),
            ("http://h/a/../../b/%2e%2e/c/..%2F..%2Fd/f", Folders::All, "c/___.._d/f"),
            ("http://h/%20/f", Folders::All, "f"),
            ("http://h.example/a/f", Folders::Host, "h.example/a/f"),
            ("http://h:8080/f", Folders::Host, "h:8080/f"),
            ("http://[::1]:8080/f", Folders::Host, "[::1]:8080/f"),
        ] {
            let naming = Naming { folders, windows: false, ..Naming::default() };
            assert_eq!(by_url(&naming, text), expected, "{text}");
        }
        let naming = Naming { folders: Folders::Host, windows: true, ..Naming::default() };
        assert_eq!(by_url(&naming, "http://h:8080/con/a%3Ab."), "h_8080/_con/a_b_");
    }
}
