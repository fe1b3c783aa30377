namespace Agent.Receiver

open System
open System.Globalization
open Agent.Core

/// The dashboard that serves a database, as its lock file names it. It is read by other processes, of other versions too.
type DatabaseHolder =
    {
        /// Its process; 0 where that is not known.
        Pid: int
        /// The URL that it listens on; empty until it does.
        Address: string
    }

/// The contents of the lock file beside a database.
[<RequireQualifiedAccess>]
module DatabaseHolder =
    /// The lock file of a database.
    [<CompiledName "LockFileOf">]
    let lockFileOf (database: string) : string = database + ".lock"

    /// The text that names a dashboard: a line each for process and address.
    [<CompiledName "ToText">]
    let toText (holder: DatabaseHolder) : string = $"{holder.Pid}\n{holder.Address}\n"

    /// What a text says. Whatever cannot be read is not known.
    [<CompiledName "Parse">]
    let parse (text: string) : DatabaseHolder =
        let lines = text.Split '\n'

        let pid =
            match Int32.TryParse(lines[0], NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, pid -> pid
            | _ -> 0

        let address =
            match Array.tryItem 1 lines with
            | Some line when line.Length <= 300 && not (Seq.exists Char.IsControl line) -> line
            | _ -> ""

        { Pid = pid; Address = address }

    /// The dashboard as a sentence calls it.
    [<CompiledName "Describe">]
    let describe (holder: DatabaseHolder) : string =
        match holder.Pid, holder.Address with
        | 0, _ -> "another ai-dashboard"
        | pid, "" -> $"ai-dashboard with process ID {pid}"
        | pid, address -> $"ai-dashboard with process ID {pid}, which listens on {address}"

    /// Why a command that needs the database for itself does not run.
    [<CompiledName "Refusal">]
    let refusal (database: string) (holder: DatabaseHolder) : string =
        $"--database: \"{database}\" is in use by {describe holder}; stop that first, or name another file"
