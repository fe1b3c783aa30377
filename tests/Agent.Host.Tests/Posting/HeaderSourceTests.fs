/// The file of headers for remote-write: when it is read again, and what is said of it.
module Agent.Host.Tests.HeaderSourceTests

open System
open System.IO
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host.Posting
open Agent.TestSupport
open Expecto

let private write (directory: string) (text: string) (mode: UnixFileMode) : string =
    let path = Path.Combine(directory, "headers")
    File.WriteAllText(path, text)
    File.SetUnixFileMode(path, mode)
    path

let private owner = UnixFileMode.UserRead ||| UnixFileMode.UserWrite

let private opened (path: string) : HeaderSource =
    match HeaderSource.Open(path, "--remote-write-header-file") with
    | Ok source -> source
    | Error error -> failtest error.Message

let private shown (source: HeaderSource) =
    [ for struct (name, value) in source.Current -> name, value.Reveal() ]

[<Tests>]
let tests =
    testList
        "Host.HeaderSource"
        [
            testCase "a changed file is read again, once it is good"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = write directory "A: 1\n" owner
                    let source = opened path
                    source.RefreshIfChanged()
                    Expect.equal (shown source, source.Problem) ([ "A", "1" ], "") "as it was"
                    write directory "A: s3cr3t\nB\n" owner |> ignore
                    source.RefreshIfChanged()

                    Expect.equal
                        (shown source, source.Problem)
                        ([ "A", "1" ], $"--remote-write-header-file: {path}: line 2 is not a header of the form Name: value")
                        "the previous headers"

                    File.Delete path
                    source.RefreshIfChanged()
                    Expect.equal source.Problem $"--remote-write-header-file: {path} does not exist" "gone"
                    write directory "A: 22\n" owner |> ignore
                    source.RefreshIfChanged()
                    Expect.equal (shown source, source.Problem) ([ "A", "22" ], "") "back")

            testCase "one of the same length and time is found after a refusal"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = write directory "A: 1\n" owner
                    let source = opened path
                    let time = File.GetLastWriteTimeUtc path
                    write directory "A: 2\n" owner |> ignore
                    File.SetLastWriteTimeUtc(path, time)
                    source.RefreshIfChanged()
                    Expect.equal (shown source) [ "A", "1" ] "not seen"
                    Expect.isTrue (source.Refresh()) "there are others"
                    Expect.equal (shown source) [ "A", "2" ] "read"
                    Expect.isFalse (source.Refresh()) "not again")

            testCase "others should not be able to read it"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = write directory "A: 1\n" owner
                    Expect.equal (opened path).Warning "" "private"
                    let path = write directory "A: 1\n" (owner ||| UnixFileMode.OtherRead)

                    Expect.equal
                        (opened path).Warning
                        $"--remote-write-header-file: every user of this machine can read {path}; chmod 600 it"
                        "open")

            testCase "a secret is masked whole and by its second word"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = write directory "Authorization: Bearer abcd1234\nX-Scope-OrgID: t1\n" owner
                    let form = ReceiverTemplate.RemoteWrite(Uri "http://p/w", opened path) :> IRequestTemplate
                    Expect.equal (List.ofSeq form.Parts.Secrets) [ "Bearer abcd1234"; "abcd1234" ] "secrets")

            testCase "the headers of the protocol change with its version, the user's stay"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let form =
                        ReceiverTemplate.RemoteWrite(Uri "http://p/w", opened (write directory "X-Scope-OrgID: t1\n" owner))

                    let headers () =
                        [
                            for struct (name, value) in (form :> IRequestTemplate).Parts.Headers -> $"{name}: {value}"
                        ]

                    Expect.equal
                        (headers ())
                        [
                            "X-Scope-OrgID: t1"
                            "X-Prometheus-Remote-Write-Version: 2.0.0"
                            "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
                            "Content-Encoding: snappy"
                        ]
                        "2.0"

                    form.Speak(RemoteWrite.headers RemoteWriteVersion.One)

                    Expect.equal
                        (headers ())
                        [
                            "X-Scope-OrgID: t1"
                            "X-Prometheus-Remote-Write-Version: 0.1.0"
                            "Content-Type: application/x-protobuf"
                            "Content-Encoding: snappy"
                        ]
                        "1.0")
        ]
