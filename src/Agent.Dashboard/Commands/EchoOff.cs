using System.Runtime.InteropServices;

namespace Agent.Dashboard.Commands;

/// <summary>
/// Keeps the terminal on standard input from showing what is typed, until it is disposed of or Ctrl-C ends the program. The class library's
/// ReadKey would show what is typed between two keys. Lines are still edited by the terminal itself.
/// </summary>
internal sealed partial class EchoOff : IDisposable
{
    private const int Input = 0;

    /// <summary>TCSAFLUSH of termios(3) on Linux: at once, without what was typed before.</summary>
    private const int Flush = 2;

    /// <summary>More than struct termios has; c_lflag is its fourth word, and ECHO a bit of that.</summary>
    private const int Size = 256;
    private const int LocalFlagsAt = 12;
    private const byte Echo = 0x8;

    private readonly byte[] before = new byte[Size];
    private readonly bool isTerminal;
    private readonly PosixSignalRegistration interrupt;

    /// <summary>Nothing is shown from here on.</summary>
    public EchoOff()
    {
        isTerminal = Get(Input, ref before[0]) == 0;
        interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, _ => Restore());

        if (isTerminal)
        {
            var silent = (byte[])before.Clone();
            silent[LocalFlagsAt] &= unchecked((byte)~Echo);
            _ = Set(Input, Flush, ref silent[0]);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Restore();
        interrupt.Dispose();
    }

    private void Restore()
    {
        if (isTerminal)
        {
            _ = Set(Input, Flush, ref before[0]);
        }
    }

    [LibraryImport("libc", EntryPoint = "tcgetattr")]
    private static partial int Get(int descriptor, ref byte state);

    [LibraryImport("libc", EntryPoint = "tcsetattr")]
    private static partial int Set(int descriptor, int when, ref byte state);
}
