module Agent.Core.Tests.Proc.MountInfoTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = MountInfo.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.MountInfo"
        [
            testCase "a line with a tag, a bind mount, blanks in the directory, and a hyphen in a name"
            <| fun () ->
                let read =
                    want (parse "36 35 98:0 /mnt1 /mnt/my\\040disk ro,noatime master:1 shared:2 - ext3 /dev/root-a rw,errors=continue\n"B)

                Expect.equal
                    read.Value
                    [|
                        {
                            Device = "/dev/root-a"
                            MountPoint = "/mnt/my disk"
                            Path = "/mnt/my disk"B
                            FsType = "ext3"
                            IsReadOnly = true
                            Place =
                                ValueSome
                                    {
                                        Id = 36UL
                                        Parent = 35UL
                                        DeviceNumber = "98:0"
                                        Root = "/mnt1"
                                    }
                        }
                    |]
                    "mount"

            testCase "a file system that is read-only as a whole is so in every mount"
            <| fun () ->
                let read = want (parse "36 35 98:0 / /usr rw,noatime - udf /dev/sr0 ro\n"B)
                Expect.isTrue read.Value[0].IsReadOnly "by its own options"

            testCase "a bad line costs itself and names its field"
            <| fun () ->
                let good = "36 35 98:0 / /a rw - ext4 /dev/a rw\n"

                for bad, field in
                    [
                        "x 35 98:0 / /a rw - ext4 /dev/a rw\n", "id"
                        "36 35 98 / /a rw - ext4 /dev/a rw\n", "device number"
                        "36 35 98:x / /a rw - ext4 /dev/a rw\n", "device number"
                        "36 35 98:0 / /a rw shared:1\n", "type"
                        "\n", "id"
                    ] do
                    let read = want (parse (utf8 (good + bad + good)))
                    Expect.equal read.Value.Length 2 "the others"
                    Expect.equal (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field)) [| 2, field |] bad
        ]
