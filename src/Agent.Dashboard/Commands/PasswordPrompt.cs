using System.Text;
using Agent.Receiver;
using Microsoft.FSharp.Core;
using Microsoft.Win32.SafeHandles;

namespace Agent.Dashboard.Commands;

/// <summary>Asks for a new password: twice and without showing it at a terminal, else as the first line of standard input.</summary>
internal static class PasswordPrompt
{
    /// <summary>The password, or a sentence.</summary>
    public static FSharpResult<string, string> Ask(string name, CommandLineProgram program)
    {
        // The console's own stream would show each line of a terminal as it is typed.
        using var input = new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Read, bufferSize: 0);

        if (Console.IsInputRedirected)
        {
            return Check(FirstLine(input));
        }

        using var silence = new EchoOff();
        program.Show($"Password for {name}: ");
        var first = FirstLine(input);
        program.Show("\nThe same again: ");
        var second = FirstLine(input);
        program.Show("\n");

        return first == second ? Check(first) : Error("the two passwords differ");
    }

    private static FSharpResult<string, string> Check(string? password) =>
        password is null ? Error($"the password is longer than {Credentials.LongestPassword} characters")
        : password.Length == 0 ? Error("no password was given: type it, or send it as the first line of standard input")
        : password.Length < Access.ShortestPassword ? Error($"a password has {Access.ShortestPassword} characters or more")
        : FSharpResult<string, string>.NewOk(password);

    private static string? FirstLine(Stream input)
    {
        // Read by the byte: a line that never ends is not kept.
        var bytes = new List<byte>();

        for (int next; (next = input.ReadByte()) >= 0 && next != '\n';)
        {
            if (bytes.Count == Credentials.LongestPassword)
            {
                return null;
            }

            bytes.Add((byte)next);
        }

        return Encoding.UTF8.GetString([.. bytes]).TrimEnd('\r');
    }

    private static FSharpResult<string, string> Error(string sentence) => FSharpResult<string, string>.NewError(sentence);
}
