/// A real PostgreSQL on a free port of the loopback, in a directory of its own.
module Agent.TestSupport.Postgres

open System
open System.Diagnostics
open System.IO
open System.Security.Cryptography.X509Certificates
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.Waiting
open Expecto

/// The role that the tests connect as, who may do everything, and the database that it finds.
[<Literal>]
let Role = "dashboard"

/// Where Debian keeps the programs of each version; the newest that is whole.
let private programs: string voption =
    let found =
        if Directory.Exists "/usr/lib/postgresql" then
            Directory.GetDirectories "/usr/lib/postgresql"
            |> Array.map (fun version -> Path.Combine(version, "bin"))
            |> Array.filter (fun place ->
                [ "initdb"; "postgres"; "psql" ]
                |> List.forall (fun name -> File.Exists(Path.Combine(place, name))))
        else
            [||]

    if found.Length = 0 then
        ValueNone
    else
        ValueSome(found |> Array.sortBy (fun place -> place.Length, place) |> Array.last)

/// Ends the test as skipped where there is no PostgreSQL.
let needed () : unit =
    if programs.IsNone then
        Skip.because "no postgres"

let private program (name: string) : string =
    Path.Combine(ValueOption.defaultValue "/nowhere" programs, name)

/// It refuses to run as root: as nobody then.
let private asNobody (name: string) (words: string list) : string * string list =
    if Environment.IsPrivilegedProcess then
        "/usr/bin/setpriv",
        [ "--reuid"; "65534"; "--regid"; "65534"; "--clear-groups"; program name ]
        @ words
    else
        program name, words

let private finish (name: string) (words: string list) : unit =
    let path, words = asNobody name words
    use running = new ProgramProcess(path, words, World.environment ())
    Expect.equal (running.WaitForEnd patience) 0 $"{name}; {running.Said}"

/// Gives a file to the user that the server runs as, who alone may read it.
let private ownedByServer (path: string) : unit =
    File.SetUnixFileMode(path, UnixFileMode.UserRead)

    if Environment.IsPrivilegedProcess then
        Tools.succeed [] "chown" [ "65534:65534"; path ] |> ignore

/// What turns TLS on with a certificate and its key, which are written into the directory.
let tlsOptions (directory: string) (certificate: X509Certificate2) : string list =
    let own = Certificates.file directory "server.pem" (Certificates.pem certificate)
    let key = Certificates.file directory "server-key.pem" (Certificates.keyPem certificate)
    ownedByServer own
    ownedByServer key

    [ "-c"; "ssl=on"; "-c"; $"ssl_cert_file={own}"; "-c"; $"ssl_key_file={key}" ]

/// A running server. The directory keeps its data; its password, where it asks for one, is the same for everybody. The last are options of postgres(1).
type Postgres(directory: string, password: string, options: string list) =
    let data = Path.Combine(directory, "postgres")
    let port = freePort ()

    let start () =
        let path, words =
            asNobody
                "postgres"
                ([
                    "-D"
                    data
                    "-p"
                    string port
                    "-c"
                    "listen_addresses=127.0.0.1"
                    "-c"
                    "unix_socket_directories="
                    "-c"
                    "fsync=off"
                    "-c"
                    "shared_buffers=16MB"
                    "-c"
                    "max_connections=30"
                 ]
                 @ options)

        new ProgramProcess(path, words, World.environment ())

    let psql (database: string) (sql: string) : int * string =
        let start =
            ProcessStartInfo(
                program "psql",
                [
                    "-X"
                    "-q"
                    "-A"
                    "-t"
                    "-v"
                    "ON_ERROR_STOP=1"
                    "-h"
                    "127.0.0.1"
                    "-p"
                    string port
                    "-U"
                    Role
                    "-d"
                    database
                    "-c"
                    sql
                ],
                RedirectStandardOutput = true,
                RedirectStandardError = true
            )

        start.Environment["PGPASSWORD"] <- password

        match Process.Start start with
        | null -> failtest "psql does not start"
        | running ->
            use running = running
            let errors = running.StandardError.ReadToEndAsync()
            let output = running.StandardOutput.ReadToEnd()
            running.WaitForExit()
            running.ExitCode, output.Trim() + errors.Result

    let untilReady () =
        eventually patience "PostgreSQL answers" (fun () -> fst (psql "postgres" "SELECT 1") = 0)

    let mutable server =
        Directory.CreateDirectory data |> ignore

        if Environment.IsPrivilegedProcess then
            // Everybody on the way has to be let through.
            File.SetUnixFileMode(
                directory,
                UnixFileMode.UserRead
                ||| UnixFileMode.UserWrite
                ||| UnixFileMode.UserExecute
                ||| UnixFileMode.OtherExecute
            )

            Tools.succeed [] "chown" [ "65534:65534"; data ] |> ignore

        let secret = Path.Combine(data + "-password")
        File.WriteAllText(secret, (if password = "" then "unused" else password) + "\n")
        let method = if password = "" then "trust" else "scram-sha-256"

        finish
            "initdb"
            [
                "-D"
                data
                "-U"
                Role
                "-A"
                method
                $"--pwfile={secret}"
                "-E"
                "UTF8"
                "--locale=C"
                "--no-sync"
            ]

        start ()

    do
        untilReady ()
        Expect.equal (psql "postgres" $"CREATE DATABASE {Role}") (0, "") "the database"

    /// The same without more options.
    new(directory: string, password: string) = new Postgres(directory, password, [])

    /// The database as the option --state names it.
    member _.Url: string = $"postgres://{Role}@127.0.0.1:{port}/{Role}"

    /// Its port.
    member _.Port: int = port

    /// What a statement gives in the database: rows in lines, columns with | between.
    member _.Query(sql: string) : string =
        match psql Role sql with
        | 0, text -> text
        | _, problem -> failtest $"{sql}: {problem}"

    /// Ends it at once, as when its machine is lost.
    member _.Kill() : unit =
        // Its children end with it.
        server.Signal SigQuit
        server.WaitForEnd patience |> ignore

    /// Begins anew.
    member _.Start() : unit =
        server <- start ()
        untilReady ()

    /// Halts all of it, or goes on: connections stay, and nothing is answered.
    member _.Signal(signal: int) : unit = server.Signal signal

    interface IDisposable with
        member _.Dispose() =
            if not server.HasEnded then
                server.Signal SigQuit
                server.WaitForEnd patience |> ignore

            (server :> IDisposable).Dispose()
