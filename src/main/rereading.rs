//! `tcpgoon report`: a saved run again.

use tcpgoon::args::ReportArgs;
use tcpgoon::error::{Error, Result, exit};
use tcpgoon::escape::Printable;
use tcpgoon::json::reader;
use tcpgoon::os::report_file::ReportFile;
use tcpgoon::os::{saved_file, terminal};
use tcpgoon::outputs::{self, Format};
use tcpgoon::report::colour::coloured;
use tcpgoon::reread::Reread;

use super::{all_written, hold_signals, streams};

/// Renders a saved run again.
pub fn report(args: &ReportArgs) -> Result<u8> {
    let name = if args.file == "-" { "standard input" } else { &args.file };
    let named = |why: String| Error::Setup(format!("{}:{why}", Printable(name)));
    let bytes = saved_file::read(&args.file, reader::TEXT_BYTES_MAX)
        .map_err(|error| named(format!(" {error}")))?;
    let run = Reread::of(&bytes).map_err(named)?;
    if args.outputs.lacks_conditions(run.report().judged) {
        return Err(Error::Setup(format!("{}: the run had none", outputs::NO_CONDITIONS)));
    }
    for format in Format::ALL {
        let path = args.outputs.path(format).filter(|path| *path != outputs::STDOUT);
        if let Some(path) = path.filter(|path| saved_file::is_same(&args.file, path)) {
            let (flag, path) = (format.flag(), Printable(path));
            let why = "the run is read from this file: give another";
            return Err(Error::Setup(format!("{flag} {path}: {why}")));
        }
    }
    let mut files = ReportFile::open_all(&args.outputs)?;
    let (mut stdout, signals) = (streams()?.stdout, hold_signals()?);
    let text = match args.outputs.on_stdout() {
        Some(format) => run.in_format(format),
        None => {
            let text = run.text(args.display.report, terminal::columns().into());
            let has_color = args.display.has_color(&terminal::surroundings());
            if has_color { coloured(&text) } else { text }
        }
    };
    stdout.finish(&text, &signals);
    files.iter_mut().for_each(|file| file.finish(&run.in_format(file.format()), &signals));
    all_written(stdout.all_written(), &files)?;
    Ok(exit::ALL_ESTABLISHED)
}
